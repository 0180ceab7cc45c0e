//! The commands, in words.

use std::net::IpAddr;
use std::time::Duration;

use units::{NoTime, parse_duration, parse_seconds};
use wire::candm::{Address, AddressMask, Request};

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Something is reported.
    Report(Query),
    /// The daemon does something, or says yes or no.
    Do(Box<Request>),
    /// The clock is waited for as `chronyc waitsync` does.
    WaitSync(SyncCondition),
    /// The clock is waited for until its error is bounded.
    Wait(ErrorCondition),
    /// Whether the daemon answers.
    Alive,
    /// Whether the clock is good enough.
    Ready {
        /// The largest bound of its error, seconds.
        max_error_s: f64,
    },
}

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Query {
    Status,
    Tracking,
    Sources,
    SourceStats,
    SelectData,
    Activity,
    AuthData,
    NtpData(Option<Address>),
    ServerStats,
    Clients(ClientChoice),
    SourceName(Address),
    Smoothing,
    RtcData,
    ManualList,
}

/// Which clients are listed, and what of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ClientChoice {
    /// Only those who have sent at least so many packets.
    pub(crate) packets_min: u32,
    /// Columns about NTS key exchanges, in the place of those about commands.
    pub(crate) key_exchanges: bool,
    /// Counts begin anew afterwards.
    pub(crate) reset: bool,
}

/// When `waitsync` is content. Limits of 0 are none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SyncCondition {
    /// How often the daemon is asked.
    pub(crate) tries: u32,
    /// The largest correction that may be left, seconds.
    pub(crate) max_correction_s: f64,
    /// The largest error of the frequency, ppm.
    pub(crate) max_skew_ppm: f64,
    /// The time between two tries.
    pub(crate) interval: Duration,
}

/// When `wait` is content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ErrorCondition {
    /// The largest bound of the clock's error, seconds.
    pub(crate) max_error_s: f64,
    /// How long it waits.
    pub(crate) timeout: Duration,
}

/// The largest error unless told otherwise, seconds: a clock that is further off is right for nobody, whatever it follows.
const MAX_ERROR_S: f64 = 1.0;

/// How long `wait` waits unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The shortest time between two tries of `waitsync`, seconds.
const INTERVAL_MIN_S: f64 = 0.1;

impl Action {
    /// Makes words into an action.
    ///
    /// # Errors
    /// What is not understood.
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let request = match words.as_slice() {
            ["alive"] => return Ok(Self::Alive),
            ["ready", rest @ ..] => return ready(rest),
            ["status"] => return Ok(Self::Report(Query::Status)),
            ["tracking"] => return Ok(Self::Report(Query::Tracking)),
            ["sources"] => return Ok(Self::Report(Query::Sources)),
            ["sourcestats"] => return Ok(Self::Report(Query::SourceStats)),
            ["selectdata"] => return Ok(Self::Report(Query::SelectData)),
            ["activity"] => return Ok(Self::Report(Query::Activity)),
            ["authdata"] => return Ok(Self::Report(Query::AuthData)),
            ["ntpdata"] => return Ok(Self::Report(Query::NtpData(None))),
            ["ntpdata", of] => return Ok(Self::Report(Query::NtpData(Some(address(of)?)))),
            ["serverstats"] => return Ok(Self::Report(Query::ServerStats)),
            ["clients", rest @ ..] => return clients(rest),
            ["sourcename", of] => return Ok(Self::Report(Query::SourceName(address(of)?))),
            ["smoothing"] => return Ok(Self::Report(Query::Smoothing)),
            ["rtcdata"] => return Ok(Self::Report(Query::RtcData)),
            ["manual", "list"] => return Ok(Self::Report(Query::ManualList)),
            ["waitsync", rest @ ..] => return wait_sync(rest).map(Self::WaitSync),
            ["wait", rest @ ..] => return wait(rest).map(Self::Wait),
            ["online"] => Request::Online(AddressMask::ALL),
            ["online", of] => Request::Online(only(of)?),
            ["offline"] => Request::Offline(AddressMask::ALL),
            ["offline", of] => Request::Offline(only(of)?),
            ["onoffline"] => Request::OnOffline,
            ["burst", samples] => burst(samples, AddressMask::ALL)?,
            ["burst", samples, of] => burst(samples, only(of)?)?,
            ["delete", of] => Request::DelSource(address(of)?),
            ["reload", "sources"] => Request::ReloadSources,
            ["reset", "sources"] => Request::ResetSources,
            ["refresh"] => Request::Refresh,
            ["reselect"] => Request::Reselect,
            ["makestep"] => Request::MakeStep,
            ["rekey"] => Request::Rekey,
            ["cyclelogs"] => Request::CycleLogs,
            ["dump"] => Request::Dump,
            ["shutdown"] => Request::Shutdown,
            ["accheck", of] => Request::AccessCheck(address(of)?),
            ["cmdaccheck", of] => Request::CmdAccessCheck(address(of)?),
            [] => return Err("a command is needed".to_owned()),
            [command, ..] => return Err(not_understood(command, &words.join(" "))),
        };
        Ok(Self::Do(Box::new(request)))
    }
}

/// How `clients` is used.
const CLIENTS_USAGE: &str = "clients [-p PACKETS] [-k] [-r]";

/// How commands are used that need an argument or have words of two parts.
const USAGES: [(&str, &str); 12] = [
    ("accheck", "accheck ADDRESS"),
    ("burst", "burst GOOD/MAX [ADDRESS|MASK/ADDRESS]"),
    ("clients", CLIENTS_USAGE),
    ("cmdaccheck", "cmdaccheck ADDRESS"),
    ("delete", "delete ADDRESS"),
    ("manual", "manual list"),
    ("ntpdata", "ntpdata [ADDRESS]"),
    ("online", "online [ADDRESS|MASK/ADDRESS]"),
    ("offline", "offline [ADDRESS|MASK/ADDRESS]"),
    ("reload", "reload sources"),
    ("reset", "reset sources"),
    ("sourcename", "sourcename ADDRESS"),
];

/// What is wrong with a line that is no command: what its command takes, where there is such a command.
fn not_understood(command: &str, line: &str) -> String {
    let plain = [
        "status",
        "tracking",
        "sources",
        "sourcestats",
        "selectdata",
        "activity",
        "authdata",
        "serverstats",
        "smoothing",
        "rtcdata",
        "alive",
        "onoffline",
        "refresh",
        "reselect",
        "makestep",
        "rekey",
        "cyclelogs",
        "dump",
        "shutdown",
    ];
    if let Some((_, usage)) = USAGES.iter().find(|(name, _)| *name == command) {
        return format!("{command} is used as: {usage}");
    }
    if plain.contains(&command) {
        return format!("{command} takes no argument");
    }
    format!("Unrecognized command: {line}")
}

/// Reads an IP address.
fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text} is no IP address"))
}

/// Reads the address of a source, which may be the placeholder of one that has none yet.
fn address(text: &str) -> Result<Address, String> {
    match text.strip_prefix("ID#").map(str::parse) {
        Some(Ok(id)) => Ok(Address::Id(id)),
        _ => ip(text).map(Address::from),
    }
}

/// Selects one source.
fn only(text: &str) -> Result<AddressMask, String> {
    let address = address(text)?;
    let mask = match address {
        Address::V4(_) => Address::V4([255; 4].into()),
        Address::V6(_) => Address::V6([255; 16].into()),
        Address::Unspecified | Address::Id(_) => Address::Unspecified,
    };
    Ok(AddressMask { mask, address })
}

/// Reads `GOOD/MAX`.
fn burst(samples: &str, sources: AddressMask) -> Result<Request, String> {
    let numbers = samples
        .split_once('/')
        .map(|(good, total)| (good.parse(), total.parse()));
    match numbers {
        Some((Ok(good_samples), Ok(total_samples))) => Ok(Request::Burst {
            sources,
            good_samples,
            total_samples,
        }),
        _ => Err(format!("{samples} is not GOOD/MAX, such as 4/8")),
    }
}

/// Reads the options of `clients`.
fn clients(words: &[&str]) -> Result<Action, String> {
    let mut choice = ClientChoice::default();
    let mut rest = words.iter();
    while let Some(&option) = rest.next() {
        match option {
            "-p" => {
                let packets = rest.next().ok_or("-p needs a value")?;
                choice.packets_min = packets
                    .parse()
                    .map_err(|_| format!("-p {packets} is no number of packets (the port is --port)"))?;
            }
            "-k" => choice.key_exchanges = true,
            "-r" => choice.reset = true,
            _ => return Err(format!("clients is used as: {CLIENTS_USAGE}")),
        }
    }
    Ok(Action::Report(Query::Clients(choice)))
}

/// Reads the arguments of `waitsync`.
fn wait_sync(words: &[&str]) -> Result<SyncCondition, String> {
    let number = |index: usize, default: f64| match words.get(index) {
        None => Ok(default),
        Some(word) => match word.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
            _ => Err(format!("{word} is no number")),
        },
    };
    if words.len() > 4 {
        return Err("waitsync takes up to four numbers".to_owned());
    }
    let tries = words.first().map_or(Ok(0), |word| {
        word.parse().map_err(|_| format!("{word} is no number"))
    })?;
    Ok(SyncCondition {
        tries,
        max_correction_s: number(1, 0.0)?,
        max_skew_ppm: number(2, 0.0)?,
        interval: Duration::try_from_secs_f64(number(3, 10.0)?.max(INTERVAL_MIN_S))
            .map_err(|_| "the interval is too long".to_owned())?,
    })
}

/// Reads the arguments of `ready`.
fn ready(words: &[&str]) -> Result<Action, String> {
    let max_error_s = match words {
        [] => MAX_ERROR_S,
        ["--max-error", value] => parse_seconds(value).map_err(|error| error.to_string())?,
        ["--max-error"] => return Err("--max-error needs a value".to_owned()),
        [other, ..] => return Err(no_option("ready", other)),
    };
    Ok(Action::Ready { max_error_s })
}

/// Reads the arguments of `wait`.
fn wait(words: &[&str]) -> Result<ErrorCondition, String> {
    let mut condition = ErrorCondition {
        max_error_s: MAX_ERROR_S,
        timeout: TIMEOUT,
    };
    let mut rest = words.iter();
    while let Some(&option) = rest.next() {
        if !["--max-error", "--timeout"].contains(&option) {
            return Err(no_option("wait", option));
        }
        let value = rest.next().ok_or_else(|| format!("{option} needs a value"))?;
        let refused = |error: NoTime| error.to_string();
        match option {
            "--max-error" => condition.max_error_s = parse_seconds(value).map_err(refused)?,
            _ => condition.timeout = parse_duration(value).map_err(refused)?,
        }
    }
    Ok(condition)
}

/// What is wrong with a word that is no option of a command; a time is meant as the largest error.
fn no_option(command: &str, word: &str) -> String {
    match parse_seconds(word) {
        Ok(_) => format!("{command} has no argument {word}; the largest error is --max-error {word}"),
        Err(_) => format!("{command} has no option {word}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Action, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Action::parse(&words)
    }

    fn request(line: &str) -> Request {
        match parse(line) {
            Ok(Action::Do(request)) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn changes_are_requests() {
        let one = "192.0.2.7".parse().unwrap();
        assert_eq!(request("reload sources"), Request::ReloadSources);
        assert_eq!(request("delete 192.0.2.7"), Request::DelSource(Address::V4(one)));
        assert_eq!(
            request("delete ID#0000000003"),
            Request::DelSource(Address::Id(3))
        );
        assert_eq!(request("online"), Request::Online(AddressMask::ALL));
        let Request::Burst {
            sources,
            good_samples: 4,
            total_samples: 8,
        } = request("burst 4/8 192.0.2.7")
        else {
            panic!("no burst");
        };
        assert_eq!(sources.address, Address::V4(one));
    }

    #[test]
    fn wait_has_two_options() {
        let wait = parse("wait --max-error 10ms --timeout 2m").unwrap();
        let Action::Wait(condition) = wait else {
            panic!("{wait:?}")
        };
        assert_eq!(
            condition,
            ErrorCondition {
                max_error_s: 0.01,
                timeout: Duration::from_secs(120)
            }
        );
    }

    #[test]
    fn a_time_without_its_option_is_the_largest_error() {
        for command in ["wait", "ready"] {
            let said = format!("{command} has no argument 10ms; the largest error is --max-error 10ms");
            assert_eq!(parse(&format!("{command} 10ms")), Err(said));
        }
        assert_eq!(parse("wait --x"), Err("wait has no option --x".to_owned()));
        assert_eq!(parse("wait --timeout"), Err("--timeout needs a value".to_owned()));
    }

    #[test]
    fn sources_are_named_by_what_stands_for_their_address_too() {
        let first = Address::Id(1);
        assert_eq!(
            parse("ntpdata ID#0000000001"),
            Ok(Action::Report(Query::NtpData(Some(first))))
        );
        assert_eq!(
            parse("sourcename ID#0000000001"),
            Ok(Action::Report(Query::SourceName(first)))
        );
    }

    #[test]
    fn readiness_may_have_a_limit() {
        assert_eq!(parse("ready"), Ok(Action::Ready { max_error_s: 1.0 }));
        let limited = Action::Ready { max_error_s: 0.01 };
        assert_eq!(parse("ready --max-error 10ms"), Ok(limited));
    }

    #[test]
    fn waitsync_has_chronycs_defaults() {
        let Ok(Action::WaitSync(condition)) = parse("waitsync 0 0.1 0.0 0.01") else {
            panic!("no waitsync")
        };
        assert_eq!((condition.tries, condition.max_correction_s), (0, 0.1));
        assert_eq!(condition.interval, Duration::from_millis(100));
        let Ok(Action::WaitSync(condition)) = parse("waitsync") else {
            panic!("no waitsync")
        };
        assert_eq!(condition.interval, Duration::from_secs(10));
    }

    #[test]
    fn nonsense_is_said() {
        for line in [
            "nonsense",
            "delete",
            "delete x",
            "burst 4",
            "wait --max-error",
            "ready --max-error",
            "ready now",
            "alive now",
            "wait --x 1",
            "clients -p",
            "clients -p x",
            "clients -x",
            "ntpdata ID#x",
            "wait --timeout 1e300",
            "wait --timeout 1e19s",
            "waitsync x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
