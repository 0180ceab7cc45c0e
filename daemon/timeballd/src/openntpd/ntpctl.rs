//! OpenNTPD's `ntpctl`: asks the daemon on this host how it is, and says so in that program's words.
//!
//! The daemon is asked with chrony's command protocol. What that does not tell is worked out: trust from the last eight
//! polls, and the next poll from the interval and the age of the newest sample.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use os::reason;
use units::PollInterval;
use wire::candm::{AskError, Leap, Reply, Request, SourceData, SourceMode, SourceState};
use wire::condition::Constraints;

use super::{NEGLIGIBLE_S, TRUST_VALID, shown, trust};
use crate::ctl::Client;
use crate::identity::Identity;

/// What is said to whoever asks in another way.
pub(crate) const USAGE: &str = "usage: ntpctl -s all | peers | Sensors | status\n";

/// The largest number of sources that are asked for: a daemon that claims more is not believed.
const SOURCES_MAX: u32 = 10_000;

/// The longest description of a source, characters; no more than this is shown.
const NAME_MAX: usize = 79;

/// The weight of sources of which the configuration says none.
const WEIGHT: u8 = 1;

/// An offset that is smaller than this is not told, seconds.
const OFFSET_TOLD_S: f64 = 0.5e-6;

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    All,
    Peers,
    Sensors,
    Status,
}

/// Why the arguments make no sense, as it is said before the usage.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Misunderstood {
    #[error("{0}: invalid option -- '{1}'")]
    Option(String, char),
    #[error("{0}: option requires an argument -- 's'")]
    Missing(String),
    #[error("ntpctl: Unknown show modifier '{0}'")]
    Word(String),
    #[error("")]
    Nothing,
}

/// What is to be known of the daemon.
#[derive(Debug, Default, PartialEq)]
struct State {
    is_synchronised: bool,
    stratum: u16,
    /// What is left to correct, true time − system clock, seconds.
    offset_s: f64,
    constraints: Option<Constraints>,
    peers: Vec<Peer>,
}

/// What is to be known of a source.
#[derive(Debug, Clone, PartialEq)]
struct Peer {
    address: Option<IpAddr>,
    /// The name by which it is configured.
    name: String,
    /// What the configuration says of its weight, which is not used.
    weight: u8,
    is_pool: bool,
    is_followed: bool,
    trust: u8,
    stratum: u16,
    next_s: i64,
    poll_s: i64,
    offset_s: f64,
    delay_s: f64,
    jitter_s: f64,
}

/// Runs the program, and returns the exit status: 0 done, 1 not understood or no answer.
pub(crate) fn main(program: &str, arguments: &[String]) -> u8 {
    let show = match parse(program, arguments) {
        Ok(show) => show,
        Err(problem) => {
            let problem = problem.to_string();
            let line = if problem.is_empty() {
                problem
            } else {
                format!("{problem}\n")
            };
            return complain(&format!("{line}{USAGE}"));
        }
    };
    let socket = Identity::OPENNTPD.socket;
    let state = Client::at(socket, Duration::MAX).and_then(|mut client| {
        ask(&mut client).map_err(|error| match error {
            AskError::NoAnswer(error) => error,
            error => io::Error::other(error.to_string()),
        })
    });
    match state {
        // Whoever stops reading has seen enough.
        Ok(state) => match io::stdout().write_all(text(&state, show).as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => 1,
            _ => 0,
        },
        Err(error) => complain(&format!("ntpctl: connect: {socket}: {}\n", reason(&error))),
    }
}

fn complain(text: &str) -> u8 {
    let _ = io::stderr().write_all(text.as_bytes());
    1
}

/// Makes the arguments into what is to be shown: the last one that is said.
fn parse(program: &str, arguments: &[String]) -> Result<Show, Misunderstood> {
    let mut show = None;
    let mut rest = arguments.iter();
    while let Some(options) = rest.next().and_then(|argument| argument.strip_prefix('-')) {
        let mut letters = options.chars();
        match letters.next() {
            None | Some('-') if options.is_empty() || options == "-" => break,
            Some('s') => {
                let word = match letters.as_str() {
                    "" => rest
                        .next()
                        .ok_or_else(|| Misunderstood::Missing(program.to_owned()))?,
                    word => word,
                };
                show = Some(lookup(word).ok_or_else(|| Misunderstood::Word(word.to_owned()))?);
            }
            letter => {
                let letter = letter.unwrap_or('-');
                return Err(Misunderstood::Option(program.to_owned(), letter));
            }
        }
    }
    show.ok_or(Misunderstood::Nothing)
}

/// Finds what is meant by a word or its beginning.
fn lookup(word: &str) -> Option<Show> {
    let words = [
        ("all", Show::All),
        ("peers", Show::Peers),
        ("Sensors", Show::Sensors),
        ("status", Show::Status),
    ];
    let mut found = words.into_iter().filter(|(whole, _)| whole.starts_with(word));
    found.next().map(|(_, show)| show).filter(|_| !word.is_empty())
}

/// Asks the daemon for everything.
fn ask(client: &mut Client) -> Result<State, AskError> {
    let Reply::Tracking(tracking) = client.ask(&Request::Tracking)? else {
        return Err(AskError::Unexpected);
    };
    let Reply::NSources(count) = client.ask(&Request::NSources)? else {
        return Err(AskError::Unexpected);
    };
    let mut peers = Vec::new();
    for index in 0..count.min(SOURCES_MAX) {
        let Reply::SourceData(source) = client.ask(&Request::SourceData(index))? else {
            return Err(AskError::Unexpected);
        };
        if source.mode != SourceMode::ReferenceClock {
            peers.push(ask_peer(client, index, &source)?);
        }
    }
    let mut peers = without_places(peers);
    let condition = client.condition();
    for peer in &mut peers {
        let weight = condition
            .as_ref()
            .and_then(|condition| condition.weights.get(&peer.name));
        peer.weight = weight.copied().unwrap_or(WEIGHT);
    }
    let has_valid = peers.iter().any(|peer| peer.trust >= TRUST_VALID);
    let offset_s = tracking.current_correction_s;
    Ok(State {
        is_synchronised: has_valid && tracking.leap != Leap::NotSynchronised && offset_s.abs() < NEGLIGIBLE_S,
        stratum: tracking.stratum,
        offset_s,
        constraints: condition.and_then(|condition| condition.constraints),
        peers,
    })
}

fn ask_peer(client: &mut Client, index: u32, source: &SourceData) -> Result<Peer, AskError> {
    let Reply::SourceStats(stats) = client.ask(&Request::SourceStats(index))? else {
        return Err(AskError::Unexpected);
    };
    let name = match client.ask(&Request::NtpSourceName(source.address)) {
        Ok(Reply::NtpSourceName(name)) => name.as_str().to_owned(),
        _ => String::new(),
    };
    // Before the first answer there is nothing to tell.
    let delay_s = match client.ask(&Request::NtpData(source.address)) {
        Ok(Reply::NtpData(data)) => data.peer_delay_s,
        _ => 0.0,
    };
    let poll_s = PollInterval(i8::try_from(source.poll_log2_s).unwrap_or(i8::MAX)).as_seconds();
    let poll_s = units::rounding::nearest_i64(poll_s);
    let reach = u8::try_from(source.reachability & 0xff).unwrap_or_default();
    Ok(Peer {
        address: source.address.ip(),
        name,
        weight: WEIGHT,
        is_pool: false,
        is_followed: source.state == SourceState::Selected,
        trust: trust(reach),
        stratum: source.stratum,
        next_s: (poll_s - source.since_sample_s.map_or(poll_s, i64::from)).max(0),
        poll_s,
        offset_s: -stats.offset_s,
        delay_s,
        jitter_s: stats.standard_deviation_s,
    })
}

/// Finds the pools, whose name has several sources, and leaves the places out that no address was found for, but one where
/// there is none at all.
fn without_places(mut peers: Vec<Peer>) -> Vec<Peer> {
    let names: Vec<(String, bool)> = peers
        .iter()
        .map(|peer| (peer.name.clone(), peer.address.is_some()))
        .collect();
    let mut index = 0;
    peers.retain_mut(|peer| {
        let same = |other: &&(String, bool)| !peer.name.is_empty() && other.0 == peer.name;
        let is_resolved = names.iter().filter(same).any(|(_, is_resolved)| *is_resolved);
        let is_first = !names.iter().take(index).any(|other| same(&other));
        peer.is_pool = names.iter().filter(same).count() > 1;
        index += 1;
        peer.address.is_some() || (is_first && !is_resolved)
    });
    peers
}

/// The whole text of what is to be shown.
fn text(state: &State, show: Show) -> String {
    match show {
        Show::Status => status(state),
        Show::Peers if state.peers.is_empty() => "no peers configured\n".to_owned(),
        Show::Peers => peers(state),
        Show::Sensors => "no sensors configured\n".to_owned(),
        Show::All if state.peers.is_empty() => status(state),
        Show::All => format!("{}\n{}", status(state), peers(state)),
    }
}

/// One line, or two where there is nothing to follow.
fn status(state: &State) -> String {
    let valid = state.peers.iter().filter(|peer| peer.trust >= TRUST_VALID);
    let peers = match state.peers.len() {
        0 => "no peers and no sensors configured\n".to_owned(),
        all => format!("{}/{all} peers valid, ", valid.count()),
    };
    let clock = if state.is_synchronised {
        format!("clock synced, stratum {}", state.stratum)
    } else if state.offset_s.abs() > OFFSET_TOLD_S {
        format!("clock unsynced, clock offset is {:.3}ms", state.offset_s * 1e3)
    } else {
        "clock unsynced".to_owned()
    };
    let constraints = match state.constraints {
        None => String::new(),
        Some(Constraints { offset_s: None, .. }) => "constraints configured but none available, ".to_owned(),
        Some(Constraints {
            offset_s: Some(offset_s),
            refused: 0,
        }) => format!("constraint offset {offset_s}s, "),
        Some(Constraints {
            offset_s: Some(offset_s),
            refused,
        }) => format!("constraint offset {offset_s}s ({refused} errors), "),
    };
    format!("{peers}{constraints}{clock}\n")
}

/// The table of sources.
fn peers(state: &State) -> String {
    let heading = "peer\n   wt tl st  next  poll          offset       delay      jitter\n".to_owned();
    state.peers.iter().fold(heading, |text, peer| text + &peer.text())
}

impl Peer {
    fn text(&self) -> String {
        let address = self.address.map(|address| shown(address).to_string());
        let address = address.unwrap_or_else(|| "not resolved".to_owned());
        let pool = if self.is_pool { "from pool " } else { "" };
        let name = if self.name == address { "" } else { &self.name };
        let description: String = format!("{address} {pool}{name}").chars().take(NAME_MAX).collect();
        let followed = if self.is_followed { '*' } else { ' ' };
        let stratum = match self.stratum {
            0 => " -".to_owned(),
            stratum => format!("{stratum:2}"),
        };
        let polls = format!(
            "{followed} {:2} {:2} {stratum} {:4}s {:4}s",
            self.weight, self.trust, self.next_s, self.poll_s
        );
        let numbers = if self.trust < TRUST_VALID {
            "             ---- peer not valid ----".to_owned()
        } else {
            let [offset_ms, delay_ms, jitter_ms] =
                [self.offset_s, self.delay_s, self.jitter_s].map(|seconds| seconds * 1e3);
            format!("  {offset_ms:12.3}ms {delay_ms:9.3}ms  {jitter_ms:8.3}ms")
        };
        format!("{description}\n {polls}{numbers}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, name: &str) -> Peer {
        Peer {
            address: address.parse().ok(),
            name: name.to_owned(),
            weight: WEIGHT,
            is_pool: false,
            is_followed: false,
            trust: 10,
            stratum: 2,
            next_s: 30,
            poll_s: 33,
            offset_s: 1e-6,
            delay_s: 32e-6,
            jitter_s: 17e-6,
        }
    }

    fn understood(line: &str) -> Result<Show, Misunderstood> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse("/sbin/ntpctl", &words)
    }

    #[test]
    fn words_may_be_cut_short() {
        for (line, show) in [
            ("-s all", Show::All),
            ("-s a", Show::All),
            ("-sp", Show::Peers),
            ("-s S", Show::Sensors),
            ("-s s", Show::Status),
            ("-s status -s peers x", Show::Peers),
        ] {
            assert_eq!(understood(line), Ok(show), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (line, said) in [
            ("", ""),
            ("x -s all", ""),
            ("-s", "/sbin/ntpctl: option requires an argument -- 's'"),
            ("-s allx", "ntpctl: Unknown show modifier 'allx'"),
            ("-x", "/sbin/ntpctl: invalid option -- 'x'"),
            ("--help", "/sbin/ntpctl: invalid option -- '-'"),
        ] {
            assert_eq!(understood(line).unwrap_err().to_string(), said, "{line}");
        }
    }

    #[test]
    fn the_table_is_openntpds() {
        let mut followed = peer("192.0.2.11", "time.example.net");
        followed.is_followed = true;
        let mut new = peer("2001:db8::1", "2001:db8::1");
        (new.trust, new.stratum) = (5, 0);
        let state = State {
            is_synchronised: true,
            stratum: 3,
            offset_s: 0.0,
            constraints: None,
            peers: vec![peer("192.0.2.10", "192.0.2.10"), followed, new],
        };
        assert_eq!(
            text(&state, Show::All),
            "2/3 peers valid, clock synced, stratum 3\n\
             \n\
             peer\n   wt tl st  next  poll          offset       delay      jitter\n\
             192.0.2.10 \n    1 10  2   30s   33s         0.001ms     0.032ms     0.017ms\n\
             192.0.2.11 time.example.net\n *  1 10  2   30s   33s         0.001ms     0.032ms     0.017ms\n\
             2001:db8::1 \n    1  5  -   30s   33s             ---- peer not valid ----\n"
        );
        assert_eq!(text(&state, Show::Sensors), "no sensors configured\n");
    }

    #[test]
    fn a_clock_that_is_off_is_not_synced() {
        let mut state = State::default();
        let nothing = "no peers and no sensors configured\n";
        assert_eq!(text(&state, Show::All), format!("{nothing}clock unsynced\n"));
        assert_eq!(text(&state, Show::Peers), "no peers configured\n");
        state.offset_s = -0.395_447_2;
        let told = "clock unsynced, clock offset is -395.447ms\n";
        assert_eq!(text(&state, Show::Status), format!("{nothing}{told}"));
    }

    #[test]
    fn constraints_are_told_between_sources_and_clock() {
        let told = |offset_s, refused| {
            let state = State {
                constraints: Some(Constraints { offset_s, refused }),
                peers: vec![peer("192.0.2.10", "192.0.2.10")],
                ..State::default()
            };
            text(&state, Show::Status)
        };
        for (offset_s, refused, said) in [
            (None, 0, "constraints configured but none available"),
            (Some(-1), 0, "constraint offset -1s"),
            (Some(3600), 5, "constraint offset 3600s (5 errors)"),
        ] {
            let line = format!("1/1 peers valid, {said}, clock unsynced\n");
            assert_eq!(told(offset_s, refused), line);
        }
    }

    #[test]
    fn of_a_pool_only_what_has_an_address_is_shown() {
        let places = |addresses: &[&str]| {
            let peers = addresses.iter().map(|address| peer(address, "pool.example.net"));
            without_places(peers.collect())
        };
        let found = places(&["192.0.2.1", "192.0.2.2", "", ""]);
        assert_eq!(found.len(), 2);
        assert!(
            found[0]
                .text()
                .starts_with("192.0.2.1 from pool pool.example.net\n")
        );
        let none = places(&["", "", ""]);
        assert_eq!(none.len(), 1);
        assert!(
            none[0]
                .text()
                .starts_with("not resolved from pool pool.example.net\n")
        );
        let one = without_places(vec![peer("", "a"), peer("192.0.2.1", "b"), peer("", "")]);
        assert_eq!(one.len(), 3);
        assert!(one[0].text().starts_with("not resolved a\n"));
    }
}
