//! chronyd of a machine, or timeballd in its place: started, stopped, asked.

use super::host::Host;
use super::process::Output;

/// One row of `chronyc -N -c sources -a`.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// `^` server, `=` peer, `#` reference clock.
    pub mode: char,
    /// `*` selected, `+` combined, `-` not combined, `?` unusable, `x` falseticker, `~` too variable.
    pub state: char,
    /// The name as configured; the address where none was.
    pub name: String,
    /// Stratum of the source, 0 before its first answer.
    pub stratum: u8,
    /// Polling interval as a power of two seconds.
    pub poll: i8,
    /// The last eight polls, the newest in the lowest bit.
    pub reach: u8,
    /// Age of the last good sample; 4294967295 before the first.
    pub last_sample_s: u64,
    /// Offset of that sample, corrected for later slews; positive when the local clock is ahead.
    pub offset_s: f64,
    /// Offset of that sample as measured.
    pub measured_offset_s: f64,
    /// Estimated error of that sample.
    pub error_s: f64,
}

/// The part of `chronyc -N -c tracking` that tests ask about.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracking {
    /// Reference identifier in hexadecimal; `00000000` while not synchronised.
    pub reference_id: String,
    /// The name of the followed source; empty while not synchronised.
    pub reference: String,
    /// Own stratum; 0 while not synchronised.
    pub stratum: u8,
    /// Remaining correction of the system clock; positive when it is fast.
    pub system_offset_s: f64,
    /// `Normal`, `Insert second`, `Delete second` or `Not synchronised`.
    pub leap: String,
}

impl Host {
    /// Starts chronyd (with `-x`) the way systemd would; returns once it answers.
    pub fn start_chronyd(&self) {
        self.try_start_chronyd().ok();
    }

    /// As [`Host::start_chronyd`], for a configuration that it may refuse.
    pub fn try_start_chronyd(&self) -> Output {
        self.run(&["systemctl", "start", self.keeper().unit(self.system())])
    }

    /// Stops chronyd by its process id and waits until it is gone.
    pub fn stop_chronyd(&self) {
        self.run(&["systemctl", "stop", self.keeper().unit(self.system())])
            .ok();
    }

    /// The process id of chronyd inside of this machine, while it runs.
    pub fn chronyd_pid(&self) -> Option<u32> {
        let file = self.keeper().pid_file();
        let output = self.sh(&format!("pid=$(cat {file}) && kill -0 \"$pid\" && echo \"$pid\""));
        output.result().ok()?.trim().parse().ok()
    }

    /// What chronyd logged since the laboratory opened.
    pub fn chronyd_log(&self) -> String {
        self.sh(". /run/lab/env && cat \"$LAB_LOG\"").stdout
    }

    /// The calls of `systemctl` on this machine, one line of arguments each.
    pub fn systemctl_calls(&self) -> Vec<String> {
        self.sh("cat /run/lab/systemctl.log")
            .stdout
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Standard output of `chronyc`, which must succeed.
    #[track_caller]
    pub fn chronyc(&self, args: &[&str]) -> String {
        self.try_chronyc(args).ok()
    }

    /// `chronyc`, which may fail.
    pub fn try_chronyc(&self, args: &[&str]) -> Output {
        let places = format!("{},127.0.0.1,::1", self.keeper().socket());
        self.run(&[&["chronyc", "-h", &places], args].concat())
    }

    /// All sources that chronyd knows, also those whose name did not resolve, and the empty
    /// places of each pool (state `?`, stratum 0, reach 0).
    #[track_caller]
    pub fn sources(&self) -> Vec<Source> {
        parse_sources(&self.chronyc(&["-N", "-c", "sources", "-a"]))
    }

    /// The names of all sources, sorted, each once.
    #[track_caller]
    pub fn source_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.sources().into_iter().map(|source| source.name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What chronyd follows.
    #[track_caller]
    pub fn tracking(&self) -> Tracking {
        parse_tracking(&self.chronyc(&["-N", "-c", "tracking"]))
    }

    /// The source that chronyd follows, or why it follows none: a probe for `eventually`.
    pub fn synchronised(&self) -> Result<String, String> {
        let text = self.try_chronyc(&["-N", "-c", "tracking"]).result()?;
        let tracking = parse_tracking(&text);
        match tracking.leap.as_str() {
            "Not synchronised" => Err(format!(
                "{}: {}, {:?}",
                self.name(),
                tracking.leap,
                self.sources()
            )),
            _ => Ok(tracking.reference),
        }
    }
}

/// Reads `chronyc -c sources`; panics on a line of another shape.
fn parse_sources(text: &str) -> Vec<Source> {
    text.lines()
        .map(|line| parse_source(line).unwrap_or_else(|| panic!("not a source: {line}")))
        .collect()
}

fn parse_source(line: &str) -> Option<Source> {
    let fields: Vec<&str> = line.split(',').collect();
    let [
        mode,
        state,
        name,
        stratum,
        poll,
        reach,
        last,
        offset,
        measured,
        error,
    ] = fields[..]
    else {
        return None;
    };
    Some(Source {
        mode: mode.chars().next()?,
        state: state.chars().next()?,
        name: name.to_owned(),
        stratum: stratum.parse().ok()?,
        poll: poll.parse().ok()?,
        reach: u8::from_str_radix(reach, 8).ok()?,
        last_sample_s: last.parse().ok()?,
        offset_s: offset.parse().ok()?,
        measured_offset_s: measured.parse().ok()?,
        error_s: error.parse().ok()?,
    })
}

/// Reads `chronyc -c tracking`; panics on a line of another shape.
fn parse_tracking(text: &str) -> Tracking {
    let fields: Vec<&str> = text.trim_end().split(',').collect();
    assert_eq!(fields.len(), 14, "not a tracking report: {text}");
    Tracking {
        reference_id: fields[0].to_owned(),
        reference: fields[1].to_owned(),
        stratum: fields[2].parse().unwrap(),
        system_offset_s: fields[4].parse().unwrap(),
        leap: fields[13].to_owned(),
    }
}
