//! `timeballd ctl`: asks a running daemon, this one or chronyd, and prints what it says as `chronyc` does.
//!
//! [`command`] makes words into an [`Action`]; [`client`] carries requests and replies of the command protocol;
//! [`report`] and [`source_reports`] make replies into text and JSON; [`wait`] waits for the clock, and [`health`] is
//! for supervisors.

mod client;
mod command;
mod format;
mod health;
mod report;
mod source_reports;
mod wait;

use std::io::{self, Write};
use std::num::NonZeroU16;
use std::time::Duration;

use wire::candm::{AskError, Silence};
use wire::json::Json;

use crate::identity::Identity;
pub(crate) use client::Client;
use command::{Action, Query};

/// The UDP port of the command protocol.
const PORT: u16 = 323;

/// What is asked for, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Options {
    /// Addresses and paths, of which the first that answers is asked.
    hosts: Vec<String>,
    port: u16,
    json: bool,
    /// Sources are called by the names under which they are configured.
    names: bool,
    /// Sources whose names have no address yet are listed too.
    all: bool,
    /// Whether columns are explained.
    verbose: bool,
}

/// What is printed: as text, or as JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    text: String,
    json: Json,
}

/// Why there is no report, or no good one.
#[derive(Debug, thiserror::Error)]
enum CtlError {
    /// Nobody answers, at none of these places; the words are chronyc's.
    #[error("506 Cannot talk to daemon")]
    Silent(Vec<Silence>),
    /// The daemon was not asked with success.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What was waited for has not come; how it was last.
    #[error("not synchronised yet")]
    NotYet(Box<Report>),
}

impl CtlError {
    /// Says on stderr what is wrong, and where nobody answered and what to do.
    fn tell(&self) {
        complain(&self.to_string());
        if let Self::Silent(silences) = self {
            for silence in silences {
                complain(&silence.to_string());
            }
        }
    }
}

/// Runs a command, and returns the exit status: 0 done, 1 refused or no answer, 2 not understood.
pub(crate) fn main(identity: &Identity, arguments: impl IntoIterator<Item = String>) -> u8 {
    let (options, action) = match parse(identity, arguments) {
        Ok(parsed) => parsed,
        Err(Misunderstood::Help) => {
            return print(&help());
        }
        Err(Misunderstood::Because(reason)) => {
            complain(&format!("{reason}; try `timeballd ctl --help`"));
            return 2;
        }
    };
    match run(&options, &action) {
        Ok(report) => print(&if options.json {
            format!("{}\n", report.json)
        } else {
            report.text
        }),
        Err(CtlError::NotYet(report)) => {
            print(&if options.json {
                format!("{}\n", report.json)
            } else {
                report.text
            });
            1
        }
        Err(error) => {
            error.tell();
            1
        }
    }
}

/// Why no command was understood.
#[derive(Debug, PartialEq, Eq)]
enum Misunderstood {
    Help,
    Because(String),
}

/// Makes the arguments into options and a command. Options may stand anywhere.
fn parse(
    identity: &Identity,
    arguments: impl IntoIterator<Item = String>,
) -> Result<(Options, Action), Misunderstood> {
    let hosts = [identity.socket, "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let mut options = Options {
        hosts,
        port: PORT,
        json: false,
        names: false,
        all: false,
        verbose: false,
    };
    let mut words = Vec::new();
    let mut rest = arguments.into_iter().flat_map(apart);
    while let Some(argument) = rest.next() {
        let mut value = || {
            rest.next()
                .ok_or_else(|| Misunderstood::Because(format!("{argument} needs a value")))
        };
        match argument.as_str() {
            "--help" => return Err(Misunderstood::Help),
            "--json" => options.json = true,
            "-h" | "--host" => {
                let list = value()?;
                options.hosts = list.split(',').map(|host| host.trim().to_owned()).collect();
                if options.hosts.iter().any(String::is_empty) {
                    let reason = format!("{argument} {list:?} has an empty address");
                    return Err(Misunderstood::Because(reason));
                }
            }
            // There they are the command's, as in chronyc.
            "-p" | "-k" | "-r" if words.first().is_some_and(|word| word == "clients") => words.push(argument),
            "-p" | "--port" => {
                let port = value()?;
                options.port = port
                    .parse::<NonZeroU16>()
                    .map_err(|_| {
                        Misunderstood::Because(format!("{argument} {port} is no port from 1 to 65535"))
                    })?
                    .get();
            }
            "-N" => options.names = true,
            "-a" => options.all = true,
            // Addresses are not looked up anyway.
            "-n" => {}
            "-v" => options.verbose = true,
            _ => words.push(argument),
        }
    }
    if words.is_empty() {
        return Err(Misunderstood::Help);
    }
    let action = Action::parse(&words).map_err(Misunderstood::Because)?;
    Ok((options, action))
}

/// The two words that `--option=value` stands for; any other argument is one.
fn apart(argument: String) -> Vec<String> {
    match argument.split_once('=') {
        Some((option, value)) if option.starts_with("--") => vec![option.to_owned(), value.to_owned()],
        _ => vec![argument],
    }
}

/// Carries a command out.
fn run(options: &Options, action: &Action) -> Result<Report, CtlError> {
    match action {
        Action::Report(query) => asked(options, |client| {
            let mut report = report_of(query, client, options)?;
            if let Some(legend) = legend(query).filter(|_| options.verbose) {
                report.text.insert_str(0, legend);
            }
            Ok(report)
        }),
        Action::Do(request) => asked(options, |client| report::done(client, request)),
        Action::WaitSync(condition) => wait::wait_sync(options, condition),
        Action::Wait(condition) => wait::wait(options, condition),
        Action::Alive => health::alive(options),
        Action::Ready { max_error_s } => health::ready(options, *max_error_s),
    }
}

/// Asks the daemon for a report.
fn report_of(query: &Query, client: &mut Client, options: &Options) -> Result<Report, AskError> {
    let (names, all) = (options.names, options.all);
    match query {
        Query::Status => health::status(client, names),
        Query::Tracking => report::tracking(client, names),
        Query::Activity => report::activity(client),
        Query::ServerStats => report::server_stats(client),
        Query::Clients(choice) => report::clients(client, *choice),
        Query::Smoothing => report::smoothing(client),
        Query::RtcData => report::rtc_data(client),
        Query::ManualList => report::manual_list(client),
        Query::Sources => source_reports::sources(client, names, all),
        Query::SourceStats => source_reports::source_stats(client, names, all),
        Query::SelectData => source_reports::select_data(client, names, all),
        Query::AuthData => source_reports::auth_data(client, names, all),
        Query::NtpData(address) => source_reports::ntp_data(client, *address),
        Query::SourceName(address) => report::source_name(client, *address),
    }
}

/// What `-v` explains before a report, if anything.
const fn legend(query: &Query) -> Option<&'static str> {
    match query {
        Query::Sources => Some(source_reports::SOURCES_LEGEND),
        Query::SourceStats => Some(source_reports::SOURCE_STATS_LEGEND),
        Query::SelectData => Some(source_reports::SELECT_DATA_LEGEND),
        _ => None,
    }
}

/// Makes a report with the first daemon that answers, which may take as long as it does.
fn asked(
    options: &Options,
    report: impl FnOnce(&mut Client) -> Result<Report, AskError>,
) -> Result<Report, CtlError> {
    let mut client =
        Client::connect(&options.hosts, options.port, Duration::MAX).map_err(CtlError::Silent)?;
    report(&mut client).map_err(|error| client.located(error))
}

/// The text of `--help`.
pub(crate) fn help() -> String {
    "\
Usage: timeballd ctl [OPTION]... COMMAND [ARGUMENT]...

Asks the daemon on this host, or another by its address, and prints the answer
as chronyc does.

Options:
  -h, --host LIST  Sockets or addresses, separated by commas
  -p, --port PORT  UDP port (323)
  -N               Call sources by their configured names
  -a               List sources without an address too
  -v               Explain the columns of sources, sourcestats and selectdata
  --json           Print JSON

Reports:
  status  tracking  sources  sourcestats  selectdata  activity  authdata
  ntpdata [ADDRESS]  serverstats  sourcename ADDRESS
  clients [-p PACKETS] [-k] [-r]
  smoothing  manual list  rtcdata

For supervisors (exit status 0 yes, 1 no):
  alive                     It answers within a second
  ready [--max-error TIME]  The clock follows a source and is right to 1s, or TIME

Waiting:
  wait [--max-error TIME] [--timeout TIME]  Until it is right to 1s, for 60s at most
  waitsync [TRIES [MAX-CORRECTION [MAX-SKEW [INTERVAL]]]]

Changes (on the daemon's host, over its socket):
  online|offline [ADDRESS]  onoffline  burst GOOD/MAX  delete ADDRESS
  reload sources  reset sources  refresh  reselect  makestep
  rekey  cyclelogs  dump  shutdown
  accheck|cmdaccheck ADDRESS

Example: timeballd ctl wait --max-error 5ms --timeout 2m && start-database
"
    .to_owned()
}

/// Prints a text; whoever does not read it has seen enough. Returns the exit status: 1 when it could not be written.
fn print(text: &str) -> u8 {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("could not write the answer : {}", os::reason(&error)));
            1
        }
        _ => 0,
    }
}

/// Says on stderr what is wrong.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(Options, Action), Misunderstood> {
        parse(&Identity::CHRONYD, line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_may_stand_anywhere() {
        let (options, action) = parsed("sources -a -h /run/x,127.0.0.1 --json -p 11323").unwrap();
        assert_eq!(options.hosts, ["/run/x", "127.0.0.1"]);
        assert_eq!(
            (options.port, options.json, options.all, options.names),
            (11323, true, true, false)
        );
        assert_eq!(action, Action::Report(Query::Sources));
    }

    #[test]
    fn a_value_may_stand_behind_an_equals_sign() {
        for line in [
            "wait --max-error 10ms --timeout 2m",
            "ready --max-error 10ms",
            "tracking --host ::1 --port 11323",
        ] {
            let (before, after) = line.split_once(" --").unwrap();
            let joined = after.split(" --").map(|option| option.replace(' ', "="));
            let joined = format!("{before} --{}", joined.collect::<Vec<_>>().join(" --"));
            assert!(joined.contains('='));
            assert_eq!(parsed(&joined), parsed(line), "{joined}");
            assert!(parsed(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn the_number_of_packets_is_no_port() {
        let (options, action) = parsed("-p 11323 clients -p 5 -k -r").unwrap();
        let choice = command::ClientChoice {
            packets_min: 5,
            key_exchanges: true,
            reset: true,
        };
        assert_eq!(options.port, 11323);
        assert_eq!(action, Action::Report(Query::Clients(choice)));
        assert_eq!(parsed("clients --port 11323").unwrap().0.port, 11323);
    }

    #[test]
    fn the_usual_socket_comes_first() {
        let (options, _) = parsed("tracking").unwrap();
        assert_eq!(options.hosts, ["/run/chrony/chronyd.sock", "127.0.0.1", "::1"]);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert_eq!(parsed("").unwrap_err(), Misunderstood::Help);
        assert_eq!(parsed("tracking --help").unwrap_err(), Misunderstood::Help);
        for (line, why) in [
            ("nonsense", "Unrecognized command: nonsense"),
            ("delete", "delete is used as: delete ADDRESS"),
            ("reload", "reload is used as: reload sources"),
            ("makestep 1", "makestep takes no argument"),
            ("-p x tracking", "-p x is no port from 1 to 65535"),
            ("--port 0 tracking", "--port 0 is no port from 1 to 65535"),
            (
                "clients -p x",
                "-p x is no number of packets (the port is --port)",
            ),
            ("tracking -h", "-h needs a value"),
            ("tracking -h ::1,", "-h \"::1,\" has an empty address"),
        ] {
            assert_eq!(
                parsed(line).unwrap_err(),
                Misunderstood::Because(why.to_owned()),
                "{line}"
            );
        }
    }
}
