//! The words of the fleet and names of sources: what is read and written reads as the same.

use std::fmt::Display;
use std::str::FromStr;

use conf::chrony::{HostName, Source};
use link::EnrolmentToken;
use model::permission::Permission;
use model::{Label, Server, Servers, Target as Hosts};
use wire::candm::SourceName;

use crate::bytes::Bytes;
use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "words",
    check,
    seeds,
    words: dictionary,
};

/// One byte says what the word is, the others are the word.
fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let kind = bytes.below(9);
    let text = String::from_utf8_lossy(bytes.rest());
    match kind {
        0 => check_server(&text),
        1 => check_word::<Hosts>(&text),
        2 => check_word::<Label>(&text),
        3 => check_word::<Permission>(&text),
        4 => check_word::<EnrolmentToken>(&text),
        5 => check_word::<HostName>(&text),
        6 => check_word::<Source>(&text),
        7 => {
            if let Ok(name) = SourceName::new(text.clone()) {
                assert_eq!(name.as_str(), text);
                assert!(!name.as_str().contains(char::is_whitespace));
            }
        }
        _ => check_servers(&text),
    }
}

fn check_word<T: FromStr<Err: Display> + Display + PartialEq>(text: &str) {
    match text.parse::<T>() {
        Ok(word) => {
            let written = word.to_string();
            assert!(!written.contains('\n'));
            assert!(
                written.parse::<T>().is_ok_and(|again| again == word),
                "{written:?}"
            );
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && !said.contains('\n'), "{said:?}");
        }
    }
}

/// A server is also a line of chrony.conf, as the agent writes it, and JSON.
fn check_server(text: &str) {
    check_word::<Server>(text);
    if let Ok(server) = text.parse::<Server>() {
        assert!(
            server.name().parse::<HostName>().is_ok(),
            "{} can be configured",
            server.name()
        );
        let json = serde_json::to_string(&server).expect("it can be written");
        assert_eq!(
            serde_json::from_str::<Server>(&json).expect("it can be read"),
            server
        );
    }
}

fn check_servers(text: &str) {
    let Ok(body) = serde_json::from_str(text) else {
        return;
    };
    match Servers::from_json(&body) {
        Ok(servers) => {
            assert!((1..=Servers::COUNT_MAX).contains(&servers.as_slice().len()));
            let body = serde_json::to_value(&servers).expect("they can be written");
            assert_eq!(
                Servers::from_json(&body).expect("they can be read").as_slice(),
                servers.as_slice()
            );
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    words_of(&[
        "\0ntp.example.com+pool+noiburst+nts+prefer+trust+require+xleave+minpoll=4+maxpoll=6+maxsources=3+port=11123+version=4",
        "\x00192.0.2.1+key=7+noselect",
        "\0fe80::1",
        "\x01_all",
        "\x01group:web.eu",
        "\x01web-01.example.com",
        "\x02group:web",
        "\x03ntp:write",
        "\x04tb1.eyJjYSI6IiIsInNlY3JldCI6IngifQ",
        "\x05ntp.example.com",
        "\x06server ntp.example.com iburst minpoll 4 maxpoll 10 key 3 filter 5 extfield F323 offset 1e-3 unknown 5",
        "\x06pool 2001:db8::1 maxsources 3 prefer\n",
        "\x07ntp.example.com",
        "\x08{\"servers\":[\"a\",{\"name\":\"b\",\"iburst\":false,\"minpoll\":4}]}",
    ])
}

fn dictionary() -> Vec<Vec<u8>> {
    words_of(&[
        "+pool",
        "+iburst",
        "+noiburst",
        "+nts",
        "+prefer",
        "+trust",
        "+require",
        "+noselect",
        "+xleave",
        "+minpoll=",
        "+maxpoll=",
        "+maxsources=",
        "+port=",
        "+version=",
        "+key=",
        "_all",
        "_any",
        "ntp:read",
        "\"servers\":[",
        "\"name\":",
        "\"options\":",
        "\"key\":",
        "server ",
        "pool ",
        "peer ",
        " minpoll ",
        " maxdelay ",
        " asymmetry ",
        " extfield F324",
        "192.0.2.1",
        "fe80::1%eth0",
        "[::1]",
    ])
}
