//! What the kernel says of its clock, for `ntpq -c kerninfo`: it is asked when somebody asks.

use wire::mode6::{Operation, Request, Value, Variable, names};

use super::Asker;
use crate::Engine;
use crate::io::{KernelClock, Now, Output};

/// The names of the bits of the kernel's status, from the lowest on. Source: ntpd, and `ntpq` of NTPsec 1.2.2.
const STATUS: [&str; 16] = [
    "pll",
    "ppsfreq",
    "ppstime",
    "fll",
    "ins",
    "del",
    "unsync",
    "freqhold",
    "ppssignal",
    "ppsjitter",
    "ppswander",
    "ppserror",
    "clockerr",
    "nano",
    "mode=fll",
    "src=B",
];

/// The variables begin with this letter, and no others do.
const INITIAL: char = 'k';

/// What the kernel said, and to whom it is told.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Kernel {
    said: Option<KernelClock>,
    /// Who waits for it, and what they ask. The program asks the kernel before it reads another packet.
    waiting: Option<(Asker, Vec<u8>)>,
}

/// Whether somebody asks for what the kernel says, or for the names of everything.
pub(super) fn is_asked_for(bytes: &[u8]) -> bool {
    let Ok((request, _)) = Request::decode(bytes) else {
        return false;
    };
    let is_of_system =
        request.header.operation == Operation::READ_VARIABLES && request.header.association == 0;
    let is_meant = |name: &&str| name.starts_with(INITIAL) || *name == "sys_var_list";
    is_of_system && names(request.data).is_ok_and(|names| names.iter().any(is_meant))
}

impl Engine {
    /// Lets somebody wait for what the kernel says.
    pub(super) fn ask_kernel(&mut self, asker: Asker, bytes: &[u8]) {
        self.mode6.kernel.waiting = Some((asker, bytes.to_vec()));
        self.out.push(Output::ReadKernelClock);
    }

    /// The kernel was asked.
    pub(crate) fn kernel_read(&mut self, now: Now, said: Option<KernelClock>) {
        self.mode6.kernel.said = said;
        if let Some((asker, bytes)) = self.mode6.kernel.waiting.take() {
            self.send_answers(now, asker, &bytes);
        }
    }
}

impl Kernel {
    /// What it said, in NTPsec's units: seconds and ppm. There are no variables where it does not answer.
    pub(super) fn variables(&self) -> Vec<Variable> {
        let Some(said) = self.said else {
            return Vec::new();
        };
        let pps = said.pps;
        let decimal = |number: f64| Value::Word(number.to_string());
        let flags = (0..).zip(STATUS).filter(|(bit, _)| said.status >> bit & 1 == 1);
        let flags: Vec<&str> = flags.map(|(_, name)| name).collect();
        [
            ("koffset", decimal(said.offset_s)),
            ("kfreq", decimal(said.frequency_ppm)),
            ("kmaxerr", decimal(said.max_error_s)),
            ("kesterr", decimal(said.estimated_error_s)),
            ("kstflags", Value::Text(flags.join(" "))),
            ("ktimeconst", Value::Signed(said.time_constant)),
            ("kprecis", decimal(said.precision_s)),
            ("kfreqtol", decimal(said.tolerance_ppm)),
            ("kppsfreq", decimal(pps.frequency_ppm)),
            ("kppsstab", decimal(pps.stability_ppm)),
            ("kppsjitter", decimal(pps.jitter_s)),
            ("kppscalibdur", Value::Signed(pps.interval)),
            ("kppscalibs", Value::Signed(pps.calibrations)),
            ("kppsjitexc", Value::Signed(pps.jitter_exceeded)),
            ("kppsstbexc", Value::Signed(pps.stability_exceeded)),
            ("kppscaliberrs", Value::Signed(pps.errors)),
        ]
        .map(|(name, value)| Variable::unlisted(name, value))
        .into()
    }
}
