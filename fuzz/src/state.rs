//! Files that the daemon has written and reads at its next start: the drift file, and dump files with the past
//! measurements of sources. Whatever is in them, the engine keeps its rules.

use conf::config::DriftFormat;
use conf::drift;
use engine::io::{ControlPeer, Input};
use wire::candm::Request;

use crate::bytes::Bytes;
use crate::engine::{Host, Learned, Manner, SETTINGS};
use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "state",
    check,
    seeds,
    words: || {
        words_of(&[
            "SRC0\n",
            "192.0.2.1\n",
            "0 377 8 2 0\n",
            "1 0\n",
            "1769999000.402791245 ",
            " 1.687421e-04",
            " 7.060840e-04",
            " -1e9",
            " 1e300",
            " nan",
            " inf",
            "1e-310",
        ])
    },
};

/// How the operator is connected.
const OPERATOR: ControlPeer = ControlPeer::Unix(1);

/// The source that is in every setting that is used here.
const SOURCE: &str = "192.0.2.1";

/// A byte for the configuration and one for the kind of file; the others are the file.
fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let setting = &SETTINGS[[0, 1, 3, 4, 7, 11][bytes.below(6)]];
    let is_drift = bytes.bool();
    let text = String::from_utf8_lossy(bytes.rest());
    if is_drift {
        let mut read = None;
        for format in [DriftFormat::Chrony, DriftFormat::Ntpd, DriftFormat::OpenNtpd] {
            let Some((frequency_ppm, skew_ppm)) = drift::parse(&text, format) else {
                continue;
            };
            let written = drift::print(frequency_ppm, skew_ppm, format);
            let again = drift::parse(&written, format).expect("what was written can be read");
            assert_eq!(drift::print(again.0, again.1, format), written);
            read = Some((frequency_ppm, skew_ppm));
        }
        let Some((frequency_ppm, skew_ppm)) = read else {
            return;
        };
        let learned = Learned {
            drift: Some((frequency_ppm, skew_ppm)),
            rtc: None,
        };
        live(&mut Host::new(setting, 0, learned));
    } else {
        let mut host = Host::new(setting, 0, Learned::default());
        host.tell(Input::Dump {
            source: SOURCE,
            text: &text,
        });
        live(&mut host);
        check_dumped(&mut host);
    }
}

/// The host goes on for a while with servers that answer.
fn live(host: &mut Host) {
    for _ in 0..20 {
        let asked = host.asked.len();
        host.wake();
        if host.asked.len() != asked {
            host.answer(0, [0.001, 0.002], Manner::HONEST, false);
        }
        host.look_at_reports();
    }
}

/// What is written about a source can be read after all was forgotten.
fn check_dumped(host: &mut Host) {
    host.dumps.clear();
    host.command(OPERATOR, &Request::Dump.encode(1));
    host.command(OPERATOR, &Request::ResetSources.encode(2));
    let written = host.dumps.clone();
    for (source, text) in written {
        let is_empty = text.lines().nth(3).is_none_or(|counts| counts.starts_with("0 "));
        host.log.clear();
        host.tell(Input::Dump {
            source: &source,
            text: &text,
        });
        let loaded = format!("Loaded dump file for {source}");
        assert!(
            is_empty || host.has_ended || host.log.contains(&loaded),
            "{text}{:?}",
            host.log
        );
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for setting in 0..6 {
        seeds.push(
            [
                &[setting, 1],
                b"          -10.053497             0.052646\n".as_slice(),
            ]
            .concat(),
        );
        seeds.push([&[setting, 1], b"500 1e-6\n".as_slice()].concat());
        for text in [
            "SRC0\n192.0.2.1\n0 377 8 2 0\n2 0\n\
             1769999000.402791245 1.687421e-04 1.687421e-04 7.060840e-04 3.632394e-06 7.060840e-04 3.632394e-06\n\
             1769999065.567974160 1.101854e-05 1.101854e-05 2.937980e-04 2.807800e-06 2.937980e-04 2.807800e-06\n",
            "SRC0\n192.0.2.1\n1 17 4 1 1\n1 -3\n1769999900.000000000 -1e-3 -1e-3 1e-2 1e-6 2e-2 1e-3\n",
        ] {
            seeds.push([&[setting, 0], text.as_bytes()].concat());
        }
    }
    seeds
}
