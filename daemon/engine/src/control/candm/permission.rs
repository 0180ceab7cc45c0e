//! Who may ask for what.

use std::collections::BTreeSet;
use std::net::IpAddr;

use conf::config::OpenCommand;
use wire::candm::Command;

use crate::io::ControlPeer;

/// Whether a command is carried out for this peer.
///
/// Whoever can open the command socket may do everything. Over UDP nothing can be changed, and of the reports
/// only those can be asked for that are open (`opencommands`).
pub(super) fn may(peer: &ControlPeer, command: Command, open: &BTreeSet<OpenCommand>) -> bool {
    match peer {
        ControlPeer::Unix(_) => true,
        ControlPeer::Udp { .. } => {
            command.is_read_only() && open.iter().any(|word| commands(*word).contains(&command))
        }
    }
}

/// The address that the access rules and limits are about; `None` for peers that are always answered: those on
/// the command socket and the two loopback addresses themselves (not all of 127.0.0.0/8).
pub(super) fn stranger(peer: &ControlPeer) -> Option<IpAddr> {
    match peer {
        ControlPeer::Unix(_) => None,
        ControlPeer::Udp { from, .. } => {
            Some(from.ip().to_canonical()).filter(|address| !is_local_host(*address))
        }
    }
}

fn is_local_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address == std::net::Ipv4Addr::LOCALHOST,
        IpAddr::V6(address) => address == std::net::Ipv6Addr::LOCALHOST,
    }
}

/// The commands that a word of `opencommands` opens: with each report those that clients need to get to it.
const fn commands(word: OpenCommand) -> &'static [Command] {
    match word {
        OpenCommand::Activity => &[Command::Activity],
        OpenCommand::AuthData => &[Command::NSources, Command::AuthData],
        OpenCommand::Clients => &[Command::ClientAccesses],
        OpenCommand::Manual => &[Command::ManualList],
        OpenCommand::NtpData => &[Command::NSources, Command::NtpData],
        OpenCommand::RtcData => &[Command::RtcReport],
        OpenCommand::SelectData => &[Command::NSources, Command::SelectData],
        OpenCommand::ServerStats => &[Command::ServerStats],
        OpenCommand::Smoothing => &[Command::Smoothing],
        OpenCommand::SourceName => &[Command::NtpSourceName],
        OpenCommand::Sources => &[Command::NSources, Command::SourceData],
        OpenCommand::SourceStats => &[Command::NSources, Command::SourceStats],
        OpenCommand::Tracking => &[Command::Tracking],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIX: ControlPeer = ControlPeer::Unix(1);

    fn udp(from: &str) -> ControlPeer {
        ControlPeer::Udp {
            from: from.parse().expect("an address"),
            to: None,
        }
    }

    #[test]
    fn the_command_socket_may_everything() {
        for command in Command::ALL {
            assert!(may(&UNIX, *command, &BTreeSet::new()), "{command:?}");
        }
    }

    /// The numbers are those of `opencommands` in the specification.
    #[test]
    fn each_word_opens_its_commands_and_no_others() {
        let table: [(OpenCommand, &[u16]); 13] = [
            (OpenCommand::Activity, &[44]),
            (OpenCommand::AuthData, &[14, 67]),
            (OpenCommand::Clients, &[68]),
            (OpenCommand::Manual, &[41]),
            (OpenCommand::NtpData, &[14, 57]),
            (OpenCommand::RtcData, &[35]),
            (OpenCommand::SelectData, &[14, 69]),
            (OpenCommand::ServerStats, &[54]),
            (OpenCommand::Smoothing, &[51]),
            (OpenCommand::SourceName, &[65]),
            (OpenCommand::Sources, &[14, 15]),
            (OpenCommand::SourceStats, &[14, 34]),
            (OpenCommand::Tracking, &[33]),
        ];
        for (word, numbers) in table {
            let open = BTreeSet::from([word]);
            let allowed: Vec<u16> = Command::ALL
                .iter()
                .filter(|command| may(&udp("127.0.0.1:1"), **command, &open))
                .map(|command| command.code())
                .collect();
            assert_eq!(allowed, numbers, "{}", word.word());
        }
    }

    #[test]
    fn by_default_udp_may_what_every_chronyd_answered() {
        let open = BTreeSet::from(OpenCommand::DEFAULT);
        let allowed: Vec<u16> = Command::ALL
            .iter()
            .filter(|command| may(&udp("[::1]:1"), **command, &open))
            .map(|command| command.code())
            .collect();
        assert_eq!(allowed, [14, 15, 33, 34, 35, 41, 44, 51, 65]);
    }

    #[test]
    fn without_words_udp_may_nothing_and_never_check_access() {
        for command in Command::ALL {
            assert!(
                !may(&udp("127.0.0.1:1"), *command, &BTreeSet::new()),
                "{command:?}"
            );
        }
        let all = BTreeSet::from(OpenCommand::ALL);
        assert!(!may(&udp("127.0.0.1:1"), Command::AccessCheck, &all));
        assert!(!may(&udp("127.0.0.1:1"), Command::CmdAccessCheck, &all));
    }

    #[test]
    fn only_the_loopback_addresses_themselves_are_no_strangers() {
        assert_eq!(stranger(&UNIX), None);
        for local in ["127.0.0.1:323", "[::1]:323", "[::ffff:127.0.0.1]:323"] {
            assert_eq!(stranger(&udp(local)), None, "{local}");
        }
        for other in ["127.0.0.2:323", "192.0.2.1:5", "[2001:db8::1]:5"] {
            assert!(stranger(&udp(other)).is_some(), "{other}");
        }
    }
}
