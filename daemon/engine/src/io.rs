//! Every event that can reach the engine, and every act it can ask for.
//!
//! The program hands [`Input`]s to [`Engine::handle_input`](crate::Engine::handle_input) and carries out the
//! [`Output`]s that [`Engine::poll_output`](crate::Engine::poll_output) returns, until there are none. Nothing
//! else passes between the two.

use std::net::{IpAddr, SocketAddr};

use conf::config::{ConstraintUrl, Topic};
use conf::rtc::RtcError;
use units::{Leap, Mono, UnixTime};

use crate::source::SourceId;

/// One moment, read from both clocks of the host at once.
///
/// The monotonic clock is `CLOCK_MONOTONIC`: it follows the frequency corrections of the system clock but no
/// step of it, so that the difference of the two moves only when somebody steps the clock or the host sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Mono,
    /// The system clock.
    pub wall: UnixTime,
    /// How long the host has slept since it started: `CLOCK_BOOTTIME` − `CLOCK_MONOTONIC`, nanoseconds; 0 where
    /// the system cannot tell.
    pub slept_ns: i64,
}

/// Where a timestamp was taken, best last; `chronyc ntpdata` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum StampSource {
    /// By this program, around the system call (`D`).
    #[default]
    Daemon,
    /// By the kernel, when the packet passed the network stack (`K`).
    Kernel,
    /// By the network card (`H`).
    Hardware,
}

/// A reading of the system clock and who took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The system clock at that instant.
    pub at: UnixTime,
    /// Who took it.
    pub source: StampSource,
}

/// A socket, by the number under which the engine asked for it; numbers are not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u32);

/// A question to the resolver, by the number under which the engine asked it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u32);

/// A request to a constraint, by the number under which the engine asked for it; numbers are not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConstraintId(pub u32);

/// How long a constraint may take to answer, from the first packet on, seconds.
pub const CONSTRAINT_TIME_OUT_S: u8 = 10;

/// What a constraint says, or why it does not.
pub type ConstraintAnswer = Result<ConstraintReply, ConstraintError>;

/// What a constraint says.
#[derive(Debug, Clone, PartialEq)]
pub struct ConstraintReply {
    /// The date of the answer, a whole second that had begun not long before.
    pub date: UnixTime,
    /// When it came.
    pub at: Now,
    /// How its certificate was checked although the clock is too wrong for that, for the log.
    pub remark: Option<String>,
}

/// Why a constraint does not tell the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConstraintError {
    /// For the log.
    pub text: String,
    /// Somebody answered who could not prove to be the one who was asked.
    pub is_unproven: bool,
}

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupError {
    /// The name does not exist or has no address of the family asked for.
    NotFound,
    /// No answer now; worth another try.
    TryAgain,
}

/// Who sent a control request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlPeer {
    /// Somebody who could open the command socket in the file system: may change things. The program keeps the
    /// address under this number until the reply to it was sent or dropped.
    Unix(u64),
    /// Somebody who sent a datagram to the command port.
    Udp {
        /// The sender.
        from: SocketAddr,
        /// The local address the datagram came to, to answer from.
        to: Option<IpAddr>,
    },
}

/// What the driver of a reference clock says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefClockReading {
    /// When, on the system clock.
    pub at: UnixTime,
    /// The reference clock − the system clock then, seconds.
    pub offset_s: f64,
    /// What it announces; unsynchronised when it is not to be used.
    pub leap: Leap,
}

/// What the kernel says of its clock (`adjtimex` without anything to change).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct KernelClock {
    /// What its own loop has left to correct, seconds.
    pub offset_s: f64,
    /// The frequency that was set, without the length of the tick, ppm.
    pub frequency_ppm: f64,
    /// By how much the clock can be wrong, seconds.
    pub max_error_s: f64,
    /// By how much it is thought to be wrong, seconds.
    pub estimated_error_s: f64,
    /// The bits `STA_…`.
    pub status: u32,
    /// The time constant of its own loop.
    pub time_constant: i64,
    /// Its precision, seconds.
    pub precision_s: f64,
    /// By how much the frequency can be corrected, ppm.
    pub tolerance_ppm: f64,
    /// What it measured by pulses.
    pub pps: KernelPulses,
}

/// What the kernel measured by the pulses of a clock, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct KernelPulses {
    /// The frequency of the oscillator, ppm.
    pub frequency_ppm: f64,
    /// How much that changes, ppm.
    pub stability_ppm: f64,
    /// How far apart pulses are from where they should be, seconds.
    pub jitter_s: f64,
    /// The interval of a calibration, log2 s.
    pub interval: i64,
    /// How many calibrations there were, …
    pub calibrations: i64,
    /// … how many of them failed, …
    pub errors: i64,
    /// … how often the jitter was too large, …
    pub jitter_exceeded: i64,
    /// … and how often the frequency changed too much.
    pub stability_exceeded: i64,
}

/// Something that happened. Every variant is handled in one call of
/// [`Engine::handle_input`](crate::Engine::handle_input).
#[derive(Debug, Clone, PartialEq)]
pub enum Input<'a> {
    /// A datagram arrived on an NTP socket.
    Datagram {
        /// The socket it came in on.
        socket: SocketId,
        /// Its sender.
        from: SocketAddr,
        /// The local address it was sent to, when known.
        to: Option<IpAddr>,
        /// When it arrived.
        received: Stamp,
        /// Its bytes, not looked at yet.
        bytes: &'a [u8],
    },
    /// A timestamp came back for a datagram that was sent.
    Transmitted {
        /// The socket it was sent on.
        socket: SocketId,
        /// When it left.
        sent: Stamp,
        /// Its bytes, by which the engine recognises it.
        bytes: &'a [u8],
    },
    /// A datagram could not be sent: there is no socket, or no route.
    SendFailed {
        /// The socket it was to be sent on.
        socket: SocketId,
    },
    /// The path answered that a datagram did not arrive.
    Undelivered {
        /// The socket it was sent on.
        socket: SocketId,
        /// The words of the system.
        reason: &'a str,
    },
    /// A name has been looked up.
    Resolved {
        /// The question.
        lookup: LookupId,
        /// All addresses in the order of the resolver, or why there are none.
        answer: Result<Vec<IpAddr>, LookupError>,
    },
    /// A constraint was asked, as told by [`Output::AskConstraint`].
    Constraint {
        /// The request.
        request: ConstraintId,
        /// What came of it.
        answer: ConstraintAnswer,
    },
    /// A request of the command protocol arrived.
    Control {
        /// Who asks.
        peer: ControlPeer,
        /// The request, not looked at yet.
        bytes: &'a [u8],
    },
    /// The driver of a reference clock was asked, as told by [`Output::ReadRefClock`].
    RefClock {
        /// Its place in the configuration.
        ref_clock: u32,
        /// What it had to say, if anything.
        reading: Option<RefClockReading>,
    },
    /// The kernel was asked, as told by [`Output::ReadKernelClock`]; `None`: it does not answer.
    KernelClock(Option<KernelClock>),
    /// It was looked whether there is a way to a source, as told by [`Output::FindRoute`].
    Route {
        /// The source.
        source: SourceId,
        /// There is one.
        exists: bool,
    },
    /// The files of the source directories have been read, as asked by [`Output::ReadSourceFiles`].
    SourceFiles(Vec<conf::config::SourceConfig>),
    /// The key file has been read again, as asked by [`Output::ReadKeys`].
    Keys(Vec<wire::ntp::auth::Key>),
    /// The file with the leap seconds says something else than before.
    LeapTable(crate::discipline::leap::LeapTable),
    /// A file with the past measurements of a source, as [`Output::WriteDump`] wrote it.
    Dump {
        /// The source, by what the file is called: see [`Output::WriteDump`].
        source: &'a str,
        /// The content.
        text: &'a str,
    },
    /// The clock took the frequency asked for, rounded to what it can do.
    FrequencyApplied {
        /// The rate now applied, ppm; positive makes the clock faster.
        ppm: f64,
    },
    /// The clock could not be set.
    ClockRefused {
        /// The words of the system.
        reason: &'a str,
    },
    /// A second of the real-time clock has just begun, as asked for by [`RtcCommand::Interrupt`].
    RtcTicked {
        /// What it reads, Unix seconds.
        second: i64,
    },
    /// The real-time clock does not do what [`RtcCommand::Interrupt`] asks for: it is of no use. The program has
    /// logged why.
    RtcFailed,
    /// The real-time clock did not let itself be set. The program has logged why.
    RtcNotSet,
    /// [`Output::WriteRtcFile`] was carried out, or could not be.
    RtcFileWritten {
        /// The file has been written; otherwise the program has logged why not.
        is_written: bool,
    },
    /// The configuration has been read again. Sources, who may ask and how often are as it says from now on; the rest of
    /// it counts at the next start.
    Configuration(Box<conf::config::Config>),
    /// Somebody else keeps the clock from now on, or nobody does any more.
    Steering {
        /// Whether the clock is steered; otherwise it is only measured.
        steers: bool,
        /// The rate at which the kernel runs the clock now, ppm.
        rate_ppm: f64,
    },
    /// The host asks the daemon to end.
    Terminate,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For whoever debugs the program.
    Debug,
    /// A change of state.
    Info,
    /// Worth an operator's look.
    Warning,
    /// Something asked for does not work.
    Error,
    /// The daemon ends because of it.
    Fatal,
}

/// One of the log files of the `log` directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogFile {
    /// `measurements.log`
    Measurements,
    /// `statistics.log`
    Statistics,
    /// `tracking.log`
    Tracking,
    /// `selection.log`
    Selection,
    /// `rtc.log`
    Rtc,
    /// `refclocks.log`
    RefClocks,
}

/// What a socket is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketUse {
    /// Asking one server: connected to it, from a port of its own, with receive and transmit timestamps.
    Client {
        /// The server asked.
        remote: SocketAddr,
        /// The local port (`acquisitionport`); 0: any.
        local_port: u16,
    },
    /// Answering on the NTP port (and asking from it, for peers).
    Server {
        /// IPv6; otherwise IPv4.
        ipv6: bool,
        /// The local port.
        port: u16,
    },
}

/// An act upon the system clock. Never asked for in observe mode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClockCommand {
    /// Run faster (positive) or slower by so many ppm than the oscillator does by itself. The program answers
    /// with [`Input::FrequencyApplied`] or [`Input::ClockRefused`] before anything else.
    SetFrequency {
        /// The rate, ppm.
        ppm: f64,
    },
    /// Move the clock at once.
    Step {
        /// By so many seconds, positive is forward.
        by_s: f64,
    },
    /// Tell the kernel how good its clock is, and about a leap second at the end of the UTC day.
    SetStatus {
        /// Whether the clock is synchronised (clears `STA_UNSYNC`; lets the kernel copy the time to the RTC).
        synchronised: bool,
        /// The leap second to be made by the kernel.
        leap: Leap,
        /// The estimated error, seconds.
        estimated_error_s: f64,
        /// The error bound, seconds.
        max_error_s: f64,
    },
    /// Tell the kernel TAI − UTC, seconds.
    SetTai {
        /// TAI − UTC, seconds.
        offset_s: i32,
    },
}

/// An act upon the real-time clock. Asked for only when [`Options::rtc`](crate::Options::rtc) says that there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RtcCommand {
    /// Tell of each of its seconds with [`Input::RtcTicked`], or no longer. [`Input::RtcFailed`] says that it cannot.
    Interrupt(bool),
    /// Set it; [`Input::RtcNotSet`] says that this was not possible.
    Set {
        /// To this second, Unix seconds.
        second: i64,
    },
}

/// Why an answer has no time in it (RFC 5905 §7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTime {
    /// The leap indicator says that the server's clock is not synchronised.
    Alarm,
    /// It is a kiss code.
    Kiss,
    /// Its stratum is above 15.
    Stratum(u8),
}

/// Something that a daemon may want to tell operators in words of its own: told with [`Output::Happened`], and only
/// where [`Options::tells`](crate::Options::tells) asks for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The engine works: the sources of the configuration are there.
    Began,
    /// A source answered with its time, good or not.
    Answered {
        /// Its address.
        source: IpAddr,
        /// True time − system clock, seconds.
        offset_s: f64,
        /// The round trip, seconds; negative if what the source says cannot be.
        delay_s: f64,
        /// The last eight polls, newest in bit 0.
        reach: u8,
        /// When it is asked next, seconds from now.
        next_s: f64,
    },
    /// A source answered without time.
    NoTime {
        /// Its address.
        source: IpAddr,
        /// Why.
        why: NoTime,
        /// When it is asked next, seconds from now.
        next_s: f64,
    },
    /// A source has not answered, and is not waited for any longer.
    Unanswered {
        /// Its address.
        source: IpAddr,
        /// The last eight polls, newest, which is this one, in bit 0.
        reach: u8,
        /// When it is asked next, seconds from now.
        next_s: f64,
    },
    /// A request could not be sent.
    NotSent {
        /// The address of the source.
        source: IpAddr,
        /// When it is asked next, seconds from now.
        next_s: f64,
    },
    /// The path answered that a request did not arrive.
    Undelivered {
        /// The address of the source.
        source: IpAddr,
        /// The words of the system.
        reason: String,
    },
    /// A source is not asked at this address any more.
    Gone {
        /// The address.
        source: IpAddr,
    },
    /// The clock was stepped.
    Stepped {
        /// By so much, seconds; positive is forward.
        by_s: f64,
    },
    /// Nobody has answered in the time that [`Options::set_at_once`](crate::Options::set_at_once) gives them: the clock
    /// is not set at the start.
    NotSet,
    /// What the sources agree on is being slewed, or would be if the clock were not only observed.
    Followed {
        /// True time − system clock, seconds.
        offset_s: f64,
    },
    /// No source can be followed any more.
    Lost,
    /// Something for which there is one way to say it, told here and not with [`Output::Log`].
    Said {
        /// How much it matters.
        severity: Severity,
        /// The line.
        text: String,
    },
}

/// Something the engine wants done. The program carries them out in the order in which they come.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Open a socket; failing is told by [`Input::SendFailed`] when something is sent on it.
    Open {
        /// Its number from now on.
        socket: SocketId,
        /// What it is for.
        purpose: SocketUse,
    },
    /// Close a socket.
    Close {
        /// Its number until now.
        socket: SocketId,
    },
    /// Send a datagram.
    Datagram {
        /// On this socket.
        socket: SocketId,
        /// To this address (that to which the socket is connected, if it is).
        to: SocketAddr,
        /// From this local address, when the datagram answers one that came to it.
        from: Option<IpAddr>,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// What comes in on this socket need not be read before this instant, at which there is something else to do: one
    /// wake-up is enough for both.
    ReadLater {
        /// The socket.
        socket: SocketId,
        /// Until then.
        until: Mono,
    },
    /// Send the reply to a control request.
    ControlReply {
        /// To whom.
        peer: ControlPeer,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Act upon the clock.
    Clock(ClockCommand),
    /// Look a name up.
    Resolve {
        /// The number under which the answer comes.
        lookup: LookupId,
        /// The name.
        name: String,
    },
    /// Ask an HTTPS server for its date, within [`CONSTRAINT_TIME_OUT_S`], and answer with [`Input::Constraint`].
    AskConstraint {
        /// The number under which the answer comes.
        request: ConstraintId,
        /// Where the server is.
        address: SocketAddr,
        /// What is asked for, and to whom the certificate must belong.
        url: ConstraintUrl,
        /// The time at which the certificate must be valid; `None` while the clock is not synchronised: the date that
        /// the server tells.
        true_time: Option<UnixTime>,
    },
    /// Write a line to the daemon's log.
    Log {
        /// How much it matters.
        severity: Severity,
        /// What it is about.
        topic: Topic,
        /// The line.
        text: String,
    },
    /// Write a line to a log file.
    LogFile {
        /// Which.
        file: LogFile,
        /// The line, without its newline.
        line: String,
    },
    /// Write a line to a file of statistics.
    Statistics {
        /// Which.
        kind: conf::config::StatisticsKind,
        /// When, on the system clock: the day to whose file it belongs.
        at: UnixTime,
        /// The line, without its newline.
        line: String,
    },
    /// Replace the drift file.
    WriteDrift {
        /// The oscillator's frequency error, ppm; positive: the clock would gain.
        frequency_ppm: f64,
        /// Its error bound, ppm.
        skew_ppm: f64,
    },
    /// Act upon the real-time clock.
    Rtc(RtcCommand),
    /// Replace the file of `rtcfile`, and answer with [`Input::RtcFileWritten`] before anything else.
    WriteRtcFile(RtcError),
    /// Replace the dump file of a source.
    WriteDump {
        /// The source, as it names the file: its address, or `refid:XXXXXXXX`.
        source: String,
        /// The content.
        text: String,
    },
    /// Ask the driver of a reference clock, and answer with [`Input::RefClock`].
    ReadRefClock {
        /// Its place in the configuration.
        ref_clock: u32,
    },
    /// Ask the kernel for the state of its clock, and answer with [`Input::KernelClock`] before anything else.
    ReadKernelClock,
    /// Find out whether there is a way to a source, with a socket that is connected to it and sends nothing, and answer with
    /// [`Input::Route`] before anything else.
    FindRoute {
        /// The source.
        source: SourceId,
        /// Where it is asked.
        remote: SocketAddr,
    },
    /// Read the files of the source directories and answer with [`Input::SourceFiles`].
    ReadSourceFiles,
    /// Read the key file again and answer with [`Input::Keys`].
    ReadKeys,
    /// Close the log files; they are opened again by the next line.
    CycleLogs,
    /// Tell operators what happened, in whatever words.
    Happened(Event),
    /// The initial set-up is over: the daemon is ready.
    Ready,
    /// End the program.
    Exit {
        /// With this status.
        status: u8,
    },
}
