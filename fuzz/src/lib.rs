//! Fuzz targets: every decoder, and the engine as a whole.
//!
//! A target takes any bytes and panics when something is wrong with what our code makes of them. `./run` builds
//! each into a program that libFuzzer drives; the tests here take the same targets through their seeds and through
//! damaged copies of them, without a fuzzer.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a finding is told"
)]

mod bytes;
mod condition;
mod config;
mod dns;
mod engine;
mod files;
#[cfg(feature = "fleet")]
mod frame;
mod http;
mod keys;
mod leap;
mod mode6;
mod ntp;
mod ntp_conf;
mod openntpd;
mod reply;
mod request;
mod rtc;
mod scrape;
mod state;
#[cfg(feature = "fleet")]
mod words;

use std::fs;
use std::path::Path;

/// The variable that names the target.
const TARGET_NAME: &str = "TIMEBALL_FUZZ_TARGET";

/// The variable that names the directory to which a fuzzing program writes its seeds and its dictionary.
const SEEDS_DIRECTORY: &str = "TIMEBALL_FUZZ_SEEDS";

/// Something to fuzz.
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Panics when there is something wrong with what our code makes of the bytes.
    pub check: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What inputs are likely to have in them.
    pub words: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    ntp::TARGET,
    mode6::TARGET,
    http::TARGET,
    scrape::TARGET,
    dns::TARGET,
    condition::TARGET,
    request::TARGET,
    reply::TARGET,
    config::TARGET,
    ntp_conf::TARGET,
    openntpd::TARGET,
    keys::TARGET,
    leap::TARGET,
    rtc::TARGET,
    state::TARGET,
    #[cfg(feature = "fleet")]
    frame::TARGET,
    #[cfg(feature = "fleet")]
    words::TARGET,
    engine::TARGET,
];

/// The target that the environment names.
///
/// # Panics
/// When it names none.
#[must_use]
pub fn chosen() -> &'static Target {
    let name = std::env::var(TARGET_NAME).unwrap_or_default();
    find(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("{TARGET_NAME} is {name:?}; set it to one of {}", names.join(" "))
    })
}

/// Writes the seeds of a target, and its dictionary beside them, to the directory that the environment names, if it
/// does.
///
/// # Panics
/// When the directory cannot be written.
pub fn write_seeds(target: &Target) {
    let Some(directory) = std::env::var_os(SEEDS_DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(directory.join(format!("seed-{number}")), seed)
            .expect("the directory of seeds can be written");
    }
    let dictionary: String = (target.words)().iter().map(|word| entry(word)).collect();
    fs::write(directory.with_extension("dict"), dictionary).expect("the dictionary can be written");
}

/// A line of a dictionary: the bytes in quotes, the unusual ones in hex.
fn entry(word: &[u8]) -> String {
    let escaped = word.iter().map(|byte| match byte {
        b'"' | b'\\' => format!("\\x{byte:02x}"),
        byte if byte.is_ascii_graphic() || *byte == b' ' => char::from(*byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    });
    format!("\"{}\"\n", escaped.collect::<String>())
}

fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Text as words of a dictionary.
fn words_of(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[cfg(all(test, feature = "fleet"))]
mod tests {
    use super::*;

    /// How many damaged copies are made of all seeds of a target together.
    const DAMAGED: usize = 1500;

    /// Damages a copy: cuts it, changes a byte, or repeats a part of it. The same numbers do the same damage.
    fn damage(seed: &[u8], number: u64) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        let mut random = number;
        let mut next = |below: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).unwrap_or(0) % below.max(1)
        };
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes.truncate(at),
                1 => {
                    let part = bytes
                        .get(at..(at + next(32)).min(bytes.len()))
                        .unwrap_or_default();
                    bytes.extend(part.to_vec());
                }
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= u8::try_from(1 + next(255)).unwrap_or(1);
                    }
                }
            }
        }
        bytes
    }

    fn try_out(name: &str) {
        let target = find(name).expect("there is such a target");
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty());
        (target.check)(&[]);
        for seed in &seeds {
            (target.check)(seed);
        }
        for (number, seed) in (0..).zip(seeds.iter().cycle().take(DAMAGED)) {
            (target.check)(&damage(seed, number));
        }
    }

    macro_rules! targets {
        ($($name:ident),+) => {
            $(
                #[test]
                fn $name() {
                    try_out(stringify!($name));
                }
            )+

            #[test]
            fn every_target_is_tried() {
                let tried = [$(stringify!($name)),+];
                assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tried);
            }
        };
    }

    targets!(
        ntp, mode6, http, scrape, dns, condition, request, reply, config, ntp_conf, openntpd, keys, leap,
        rtc, state, frame, words, engine
    );

    #[test]
    fn a_dictionary_keeps_every_byte() {
        assert_eq!(entry(b"a \"\\\n\xff"), "\"a \\x22\\x5c\\x0a\\xff\"\n");
    }
}
