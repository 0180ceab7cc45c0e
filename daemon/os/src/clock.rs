//! The system clock: reading it, and steering it.
//!
//! Nothing here decides: whoever only observes does not call what begins with `set` or `step`.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;

use units::rounding::{down_i64, f64_from_i64, nearest_i64};
use units::{Leap, Mono, UnixTime};

use crate::errno::{check, reason};
use crate::time::{mono, timespec, unix_time};

/// The largest rate that can be asked for, ppm in both directions: the kernel lets a tick be changed by a tenth.
pub const FREQUENCY_MAX_PPM: f64 = 100_000.0;

/// What the kernel's own frequency correction reaches, ppm (`MAXFREQ` of Linux).
const FINE_MAX_PPM: f64 = 500.0;

/// Units of that correction in 1 ppm: the kernel has it in 2^-16 ppm.
const FINE_UNITS_PER_PPM: f64 = 65_536.0;

const MICROS_PER_SEC: i64 = 1_000_000;
const NANOS_PER_SEC: i64 = 1_000_000_000;

/// How often the clocks are read to find a pair of readings that belong together.
const READINGS_MAX: u32 = 3;

/// Readings that lie no further apart belong together, nanoseconds: some four calls without a system call.
const READINGS_APART_NS: i64 = 200;

/// How often the clock is read to find its precision. A clock may stand still under a simulator, so that this is
/// not counted in time.
const PRECISION_READINGS: u32 = 1_000;

/// The number of the capability (`linux/capability.h`).
const CAP_SYS_TIME: u32 = 25;

/// The inode of the initial user namespace (`USER_NS_INIT_INO` in `linux/nsfs.h`).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// The precision of a clock of which no two readings differ, seconds.
const PRECISION_UNKNOWN_S: f64 = 1e-6;

/// Why the clock could not be set.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The process may not.
    #[error(
        "the clock cannot be set: CAP_SYS_TIME is missing (be root; in a container `--cap-add SYS_TIME`, in Kubernetes \
         `capabilities: {{add: [SYS_TIME]}}`; or observe only with -x)"
    )]
    NotPermitted,
    /// The process may in its user namespace, and the clock belongs to another.
    #[error(
        "the clock cannot be set: the kernel lets only the initial user namespace do that, whatever capabilities there are in \
         another, such as a rootless container (run it outside; or observe only with -x)"
    )]
    Namespaced,
    /// Not even reading is let through, which needs no privilege.
    #[error(
        "the clock cannot be read: the container's seccomp profile refuses clock_adjtime and adjtimex (use a profile that \
         lets them through, as those of current runtimes do)"
    )]
    Blocked,
    /// The system has other reasons.
    #[error("the clock cannot be set: {}", reason(.0))]
    Refused(#[source] io::Error),
}

impl From<io::Error> for ClockError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied {
            if is_in_user_namespace() {
                Self::Namespaced
            } else {
                Self::NotPermitted
            }
        } else {
            Self::Refused(error)
        }
    }
}

/// Whether this process is in a user namespace in which no capability gives it the clock.
fn is_in_user_namespace() -> bool {
    let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    if maps_all_users(&read("uid_map")) {
        // A namespace may map everybody. Outside of them, who has the capability is refused by something else.
        let namespace = fs::metadata("/proc/self/ns/user").map(|namespace| namespace.ino());
        namespace.is_ok_and(|inode| inode != INITIAL_USER_NAMESPACE) && has_sys_time(&read("status"))
    } else {
        true
    }
}

/// Whether users are mapped as in the initial user namespace: all, each to itself. So it is taken to be where nothing is said.
fn maps_all_users(uid_map: &str) -> bool {
    uid_map.is_empty() || uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether a process with this status has `CAP_SYS_TIME`.
fn has_sys_time(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    effective.is_some_and(|bits| bits & (1 << CAP_SYS_TIME) != 0)
}

/// One moment on the clocks of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_MONOTONIC`: follows corrections of the frequency and no steps.
    pub mono: Mono,
    /// `CLOCK_REALTIME`.
    pub wall: UnixTime,
    /// `CLOCK_BOOTTIME` − `CLOCK_MONOTONIC`, nanoseconds: how long the host has slept; 0 where there is no such
    /// clock.
    pub slept_ns: i64,
}

/// The kernel's own loops, which only those use who do not steer themselves: ntpd and systemd-timesyncd.
const LOOPS: libc::c_int = libc::STA_PLL | libc::STA_FLL | libc::STA_PPSFREQ | libc::STA_PPSTIME;

/// What whoever steers the clock leaves behind in the kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trace {
    /// The frequency that was set, 2^-16 ppm.
    pub frequency: i64,
    /// The length of the tick that was set, microseconds.
    pub tick: i64,
    /// Which of the kernel's own loops run.
    pub loops: i32,
    /// Somebody says that the clock is right, not long ago: the kernel takes it back when the error may be 16 s.
    pub is_synchronised: bool,
    /// By how much the clock can be wrong, seconds. It grows by 500 ppm from what was said last.
    pub max_error_s: f64,
    /// The rate that these mean, ppm; positive is faster than the oscillator by itself.
    pub rate_ppm: f64,
}

impl Trace {
    /// Whether two traces are of one hand: nothing was set between them.
    #[must_use]
    pub fn is_same_hand(&self, other: &Self) -> bool {
        (self.frequency, self.tick, self.loops) == (other.frequency, other.tick, other.loops)
    }
}

/// The state of the kernel's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelState {
    /// What the kernel's own loop has left to correct, seconds.
    pub offset_s: f64,
    /// The frequency that was set, without the length of the tick, ppm.
    pub frequency_ppm: f64,
    /// By how much the clock can be wrong, seconds.
    pub max_error_s: f64,
    /// By how much it is thought to be wrong, seconds.
    pub estimated_error_s: f64,
    /// The bits `STA_…`.
    pub status: u32,
    /// The time constant of the kernel's own loop.
    pub time_constant: i64,
    /// The precision of the clock, seconds.
    pub precision_s: f64,
    /// By how much the frequency can be corrected, ppm.
    pub tolerance_ppm: f64,
    /// The frequency by pulses, ppm.
    pub pps_frequency_ppm: f64,
    /// How much that changes, ppm.
    pub pps_stability_ppm: f64,
    /// The jitter of pulses, seconds.
    pub pps_jitter_s: f64,
    /// The interval of a calibration by pulses, log2 s.
    pub pps_interval: i64,
    /// How many calibrations there were.
    pub pps_calibrations: i64,
    /// How many of them failed.
    pub pps_errors: i64,
    /// How often the jitter of pulses was too large.
    pub pps_jitter_exceeded: i64,
    /// How often the frequency by pulses changed too much.
    pub pps_stability_exceeded: i64,
}

/// The system clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Ticks per second that `adjtimex` counts in (`USER_HZ`).
    ticks_per_second: i64,
}

impl Clock {
    /// Finds out how the kernel counts.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: takes no pointers.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        #[allow(clippy::useless_conversion, reason = "the width differs between platforms")]
        let ticks = i64::from(ticks);
        Self {
            ticks_per_second: if ticks > 0 { ticks } else { 100 },
        }
    }

    /// Reads the clocks, so close to each other that they are of one moment.
    #[must_use]
    pub fn now(&self) -> Reading {
        let (mut best, mut apart) = read_pair();
        for _ in 1..READINGS_MAX {
            if apart <= READINGS_APART_NS {
                break;
            }
            let (next, next_apart) = read_pair();
            if next_apart < apart {
                (best, apart) = (next, next_apart);
            }
        }
        best
    }

    /// Measures the smallest step in which the clock is seen to move, seconds.
    #[must_use]
    pub fn precision_s(&self) -> f64 {
        let mut last = unix_time(&read(libc::CLOCK_REALTIME));
        let mut precision_s = f64::INFINITY;
        for _ in 0..PRECISION_READINGS {
            let next = unix_time(&read(libc::CLOCK_REALTIME));
            let difference = next.seconds_since(last);
            if difference > 0.0 {
                precision_s = precision_s.min(difference);
            }
            last = next;
        }
        if precision_s.is_finite() {
            precision_s
        } else {
            PRECISION_UNKNOWN_S
        }
    }

    /// Finds out whether this process may steer the clock, by setting the frequency to what it is.
    ///
    /// # Errors
    /// Why it may not.
    pub fn can_steer(&self) -> Result<(), ClockError> {
        let mut state = look()?;
        state.modes = libc::ADJ_FREQUENCY;
        Ok(adjust(&mut state)?)
    }

    /// Likewise, where somebody else may steer it too, without writing anything: by asking for a length of the tick that no
    /// clock has, which is refused for what it is only to those who may.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_steer(&self) -> Result<(), ClockError> {
        look()?;
        let mut change = no_change();
        change.modes = libc::ADJ_TICK;
        match adjust(&mut change) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => Ok(other?),
        }
    }

    /// Reads the rate at which the kernel runs the clock, ppm; positive is faster than the oscillator by itself.
    ///
    /// # Errors
    /// What the system says.
    pub fn frequency_ppm(&self) -> Result<f64, ClockError> {
        let state = look()?;
        Ok(self.rate_ppm(&state))
    }

    /// Reads everything that the kernel says of its clock.
    ///
    /// # Errors
    /// What the system says.
    pub fn kernel_state(&self) -> Result<KernelState, ClockError> {
        let state = look()?;
        let unit_s = if state.status & libc::STA_NANO == 0 {
            1e-6
        } else {
            1e-9
        };
        let ppm = |scaled: i64| f64_from_i64(scaled) / FINE_UNITS_PER_PPM;
        Ok(KernelState {
            offset_s: f64_from_i64(state.offset) * unit_s,
            frequency_ppm: ppm(state.freq),
            max_error_s: f64_from_i64(state.maxerror) / 1e6,
            estimated_error_s: f64_from_i64(state.esterror) / 1e6,
            status: state.status.cast_unsigned(),
            time_constant: state.constant,
            precision_s: f64_from_i64(state.precision) / 1e6,
            tolerance_ppm: ppm(state.tolerance),
            pps_frequency_ppm: ppm(state.ppsfreq),
            pps_stability_ppm: ppm(state.stabil),
            pps_jitter_s: f64_from_i64(state.jitter) * unit_s,
            pps_interval: state.shift.into(),
            pps_calibrations: state.calcnt,
            pps_errors: state.errcnt,
            pps_jitter_exceeded: state.jitcnt,
            pps_stability_exceeded: state.stbcnt,
        })
    }

    /// Reads what tells who steers the clock.
    ///
    /// # Errors
    /// What the system says.
    pub fn trace(&self) -> Result<Trace, ClockError> {
        let state = look()?;
        Ok(Trace {
            frequency: state.freq,
            tick: state.tick,
            loops: state.status & LOOPS,
            is_synchronised: state.status & libc::STA_UNSYNC == 0,
            max_error_s: f64_from_i64(state.maxerror) / 1e6,
            rate_ppm: self.rate_ppm(&state),
        })
    }

    /// Runs the clock faster (positive) or slower than the oscillator does by itself, ppm, and returns the rate that
    /// the kernel really took: the nearest it can count in.
    ///
    /// # Errors
    /// Why it could not be set.
    pub fn set_frequency(&self, ppm: f64) -> Result<f64, ClockError> {
        let mut change = self.frequency_change(ppm);
        let asked = self.rate_ppm(&change);
        adjust(&mut change)?;
        Ok(asked)
    }

    /// Moves the clock at once, forward when positive, to the nearest nanosecond.
    ///
    /// # Errors
    /// Why it could not be moved.
    pub fn step(&self, by_s: f64) -> Result<(), ClockError> {
        let seconds = by_s.floor();
        let nanos = nearest_i64((by_s - seconds) * f64_from_i64(NANOS_PER_SEC));
        let (seconds, nanos) = (down_i64(seconds) + nanos / NANOS_PER_SEC, nanos % NANOS_PER_SEC);
        let mut change = no_change();
        // With this mode the field for microseconds holds nanoseconds.
        change.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
        change.time.tv_sec = timespec(seconds, 0).tv_sec;
        change.time.tv_usec = nanos;
        match adjust(&mut change) {
            // Not every system that looks like Linux has this mode.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => set(by_s),
            other => Ok(other?),
        }
    }

    /// Tells the kernel how good its clock is, and which leap second to make at the end of the UTC day. Ends what a
    /// time daemon before this one may have left: the kernel's own loop.
    ///
    /// # Errors
    /// Why it could not be set.
    pub fn set_status(
        &self,
        synchronised: bool,
        leap: Leap,
        estimated_error_s: f64,
        max_error_s: f64,
    ) -> Result<(), ClockError> {
        let mut change = no_change();
        change.modes = libc::ADJ_STATUS | libc::ADJ_ESTERROR | libc::ADJ_MAXERROR;
        change.status = match leap {
            Leap::Insert => libc::STA_INS,
            Leap::Delete => libc::STA_DEL,
            Leap::Normal | Leap::Unsynchronised => 0,
        };
        if !synchronised {
            change.status |= libc::STA_UNSYNC;
        }
        change.esterror = micros(estimated_error_s);
        change.maxerror = micros(max_error_s);
        Ok(adjust(&mut change)?)
    }

    /// Tells the kernel TAI − UTC, seconds.
    ///
    /// # Errors
    /// Why it could not be set.
    pub fn set_tai(&self, offset_s: i32) -> Result<(), ClockError> {
        let mut change = no_change();
        change.modes = libc::ADJ_TAI;
        change.constant = libc::c_long::from(offset_s);
        Ok(adjust(&mut change)?)
    }

    /// The change to the kernel's clock for a rate. What the fine correction does not reach goes into the length of
    /// the tick, in steps of `USER_HZ` ppm, and the fine correction has the rest.
    fn frequency_change(&self, ppm: f64) -> libc::timex {
        let ppm = if ppm.is_nan() {
            0.0
        } else {
            ppm.clamp(-FREQUENCY_MAX_PPM, FREQUENCY_MAX_PPM)
        };
        let ppm_per_micro = f64_from_i64(self.ticks_per_second);
        let micros = if ppm.abs() <= FINE_MAX_PPM {
            0
        } else {
            nearest_i64(ppm / ppm_per_micro)
        };
        let rest = ppm - f64_from_i64(micros) * ppm_per_micro;
        let mut change = no_change();
        change.modes = libc::ADJ_FREQUENCY | libc::ADJ_TICK;
        change.tick = MICROS_PER_SEC / self.ticks_per_second + micros;
        change.freq = nearest_i64(rest * FINE_UNITS_PER_PPM);
        change
    }

    /// The rate that a state of the kernel's clock means, ppm.
    fn rate_ppm(&self, state: &libc::timex) -> f64 {
        let tick_ppm = state.tick * self.ticks_per_second - MICROS_PER_SEC;
        f64_from_i64(tick_ppm) + f64_from_i64(state.freq) / FINE_UNITS_PER_PPM
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads both clocks, and how far apart the readings of the monotonic clock around the other are, nanoseconds.
fn read_pair() -> (Reading, i64) {
    let before = mono(&read(libc::CLOCK_MONOTONIC)).as_nanos();
    let wall = unix_time(&read(libc::CLOCK_REALTIME));
    let after = mono(&read(libc::CLOCK_MONOTONIC)).as_nanos();
    let boot = try_read(libc::CLOCK_BOOTTIME).map(|time| mono(&time).as_nanos());
    let apart = after - before;
    let reading = Reading {
        mono: Mono::from_nanos(before + apart / 2),
        wall,
        slept_ns: boot.map_or(0, |boot| boot - after),
    };
    (reading, apart)
}

/// Reads a clock that every system has.
pub(crate) fn read(clock: libc::clockid_t) -> libc::timespec {
    try_read(clock).unwrap_or(timespec(0, 0))
}

/// Reads a clock.
fn try_read(clock: libc::clockid_t) -> io::Result<libc::timespec> {
    let mut time = timespec(0, 0);
    // SAFETY: the pointer is to room for a time, which lives through the call.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(time)
}

/// A change to the kernel's clock that changes nothing.
fn no_change() -> libc::timex {
    // SAFETY: `timex` is made of integers, for which all zeros is a value: no modes, nothing to be changed.
    unsafe { MaybeUninit::<libc::timex>::zeroed().assume_init() }
}

/// Reads the state of the kernel's clock.
fn look() -> Result<libc::timex, ClockError> {
    let mut state = no_change();
    match adjust(&mut state) {
        Ok(()) => Ok(state),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(ClockError::Blocked),
        Err(error) => Err(ClockError::Refused(error)),
    }
}

/// Changes the kernel's clock as `modes` says, and reads its state back.
fn adjust(change: &mut libc::timex) -> io::Result<()> {
    // SAFETY: the pointer is to a whole `timex` that nothing else uses during the call.
    match check(unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, change) }) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // What a profile does not know at all it can refuse in other words.
            adjust_by_older_call(change).map_err(|older| match older.kind() {
                io::ErrorKind::InvalidInput => older,
                _ => error,
            })
        }
        other => other.map(drop),
    }
}

/// Likewise, by the call that the seccomp profiles of old container runtimes let through when they refuse the other. The C
/// library's function of this name makes that other one.
#[cfg(target_pointer_width = "64")]
fn adjust_by_older_call(change: &mut libc::timex) -> io::Result<()> {
    let change: *mut libc::timex = change;
    // SAFETY: the pointer is to a whole `timex`, which is the kernel's where its numbers have 64 bits, and nothing else
    // uses it during the call.
    check(unsafe { libc::syscall(libc::SYS_adjtimex, change) })?;
    Ok(())
}

/// Where the kernel's structure is not the C library's there is none.
#[cfg(not(target_pointer_width = "64"))]
fn adjust_by_older_call(_change: &mut libc::timex) -> io::Result<()> {
    Err(io::ErrorKind::PermissionDenied.into())
}

/// Sets the clock to where a step leads; what happens between reading and setting is lost.
fn set(by_s: f64) -> Result<(), ClockError> {
    let (seconds, nanos) = unix_time(&try_read(libc::CLOCK_REALTIME)?)
        .plus_seconds(by_s)
        .to_parts();
    let time = timespec(seconds, nanos);
    // SAFETY: the pointer is to a time that lives through the call and is only read.
    check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) })?;
    Ok(())
}

/// An error bound in whole microseconds, rounded up.
fn micros(seconds: f64) -> libc::c_long {
    nearest_i64((seconds * 1e6).ceil()).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock {
        ticks_per_second: 100,
    };

    #[test]
    fn the_clocks_move_on_together() {
        let clock = Clock::new();
        let first = clock.now();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let second = clock.now();
        let mono_s = second.mono.seconds_since(first.mono);
        let wall_s = second.wall.seconds_since(first.wall);
        assert!(mono_s >= 0.02, "{mono_s}");
        // Nobody steps the clock meanwhile; if somebody does, it is by more than this test would notice anyway.
        assert!((mono_s - wall_s).abs() < 1e-4, "{mono_s} {wall_s}");
        assert!((second.slept_ns - first.slept_ns).abs() < 1_000_000);
    }

    #[test]
    fn the_precision_is_below_a_millisecond() {
        let precision_s = Clock::new().precision_s();
        assert!((1e-9..1e-3).contains(&precision_s), "{precision_s}");
    }

    #[test]
    fn rates_are_put_together_from_ticks_and_the_rest() {
        for (ppm, tick, freq) in [
            (0.0, 10_000, 0),
            (1.0, 10_000, 65_536),
            (-500.0, 10_000, -32_768_000),
            (500.5, 10_005, 32_768),
            (-100_000.0, 9_000, 0),
            (83_333.333, 10_833, 2_184_511),
            (1e9, 11_000, 0),
            (f64::NAN, 10_000, 0),
        ] {
            let change = CLOCK.frequency_change(ppm);
            assert_eq!((change.tick, change.freq), (tick, freq), "{ppm}");
        }
    }

    #[test]
    fn the_rate_that_is_taken_is_near_the_one_asked_for() {
        let mut ppm = -FREQUENCY_MAX_PPM;
        while ppm <= FREQUENCY_MAX_PPM {
            let taken = CLOCK.rate_ppm(&CLOCK.frequency_change(ppm));
            assert!(
                (taken - ppm).abs() <= 0.5 / FINE_UNITS_PER_PPM + 1e-9,
                "{ppm} {taken}"
            );
            ppm += 123.456_789;
        }
    }

    #[test]
    fn the_rate_can_be_read_by_everybody() {
        assert!(Clock::new().frequency_ppm().unwrap().abs() <= FREQUENCY_MAX_PPM + FINE_MAX_PPM);
    }

    #[test]
    fn a_trace_tells_one_hand_from_another() {
        let trace = Clock::new().trace().unwrap();
        assert_eq!(trace.rate_ppm, Clock::new().frequency_ppm().unwrap());
        let later = Trace {
            max_error_s: trace.max_error_s + 1.0,
            is_synchronised: !trace.is_synchronised,
            ..trace
        };
        assert!(trace.is_same_hand(&later));
        for other in [
            Trace {
                frequency: trace.frequency + 1,
                ..trace
            },
            Trace {
                tick: trace.tick - 1,
                ..trace
            },
            Trace {
                loops: trace.loops ^ libc::STA_PLL,
                ..trace
            },
        ] {
            assert!(!trace.is_same_hand(&other));
        }
    }

    #[test]
    fn a_user_namespace_is_known_by_its_users_and_its_capabilities() {
        assert!(maps_all_users("         0          0 4294967295\n") && maps_all_users(""));
        assert!(!maps_all_users("         0       1000          1\n"));
        assert!(!maps_all_users("0 1000 1\n1 100000 65536\n"));
        assert!(has_sys_time("Name:\ta\nCapEff:\t0000000002000000\n"));
        assert!(!has_sys_time(
            "CapPrm:\t0000000002000000\nCapEff:\t000001fffdffffff\n"
        ));
        assert!(!has_sys_time(""));
    }

    #[test]
    fn error_bounds_are_rounded_up() {
        assert_eq!((micros(0.0), micros(1.2e-6), micros(-1.0)), (0, 2, 0));
    }
}
