//! What a reference clock says of itself (`ntpq -c "cv ASSOC"`), in ntpd's words.

use std::net::{IpAddr, Ipv4Addr};

use conf::config::RefClockDriver;
use units::UnixTime;
use wire::mode6::{ErrorCode, Value, Variable};

use super::{Answer, refused};
use crate::Engine;
use crate::ref_clock::RefClockState;
use crate::source::SourceId;

/// The number of ntpd's driver for shared memory, by which its addresses and names go.
const SHARED_MEMORY: u8 = 28;

/// A clock that says nothing, as an event of ntpd's (`CEVNT_TIMEOUT`).
const NO_REPLY: u16 = 1;

impl Engine {
    /// The reference clock that a source is.
    pub(super) fn ref_clock(&self, id: SourceId) -> Option<&RefClockState> {
        self.ref_clocks.iter().find(|clock| clock.source == id)
    }

    /// The name of the reference clock that a source is, as ntpd has it.
    pub(super) fn ref_clock_name(&self, id: SourceId) -> Option<String> {
        let RefClockDriver::SharedMemory { unit, .. } = self.ref_clock(id)?.config.driver;
        Some(format!("SHM({unit})"))
    }

    /// Its address, as ntpd has it.
    pub(super) fn ref_clock_address(&self, id: SourceId) -> Option<IpAddr> {
        let RefClockDriver::SharedMemory { unit, .. } = self.ref_clock(id)?.config.driver;
        let unit = u8::try_from(unit).unwrap_or(u8::MAX);
        Some(Ipv4Addr::new(127, 127, SHARED_MEMORY, unit).into())
    }

    /// The variables of a reference clock: those asked for, or the usual ones.
    pub(super) fn clock_answer(&self, id: SourceId, asked: &[&str]) -> Result<Answer, ErrorCode> {
        let clock = self.ref_clock(id).ok_or(ErrorCode::UnknownAssociation)?;
        let (config, told) = (&clock.config, &clock.told);
        let time = told.last.map(|(_, time)| timecode(time)).unwrap_or_default();
        let mut variables = vec![
            Variable::new("name", Value::Text("SHM".to_owned())),
            Variable::new("timecode", Value::Text(time)),
            Variable::new("poll", Value::Unsigned(told.polls)),
            Variable::new("noreply", Value::Unsigned(told.silent)),
            // A segment of memory has no form that could be wrong.
            Variable::new("badformat", Value::Unsigned(0)),
            Variable::new("baddata", Value::Unsigned(told.bad)),
        ];
        if config.offset_s != 0.0 {
            variables.push(Variable::new("fudgetime1", Value::Fixed3(config.offset_s * 1e3)));
        }
        let name = self.sources.get(&id).and_then(|source| source.ref_clock);
        variables.extend([
            Variable::new("stratum", Value::Unsigned(config.stratum.into())),
            Variable::new(
                "refid",
                Value::Word(name.map(|id| id.ascii()).unwrap_or_default()),
            ),
            Variable::new("flags", Value::Unsigned(0)),
            Variable::new("device", Value::Text("SHM/Shared memory interface".to_owned())),
        ]);
        let event = if told.silent_in_row > 0 { NO_REPLY } else { 0 };
        Ok(Answer {
            status: u16::from(told.silent_in_row) << 4 | event,
            data: Variable::write(&variables, asked).map_err(refused)?,
        })
    }
}

/// The time that a clock told, in seconds.
fn timecode(time: UnixTime) -> String {
    format!("{}.{:09}", time.seconds(), time.nanos())
}
