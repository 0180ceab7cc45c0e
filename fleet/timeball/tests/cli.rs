//! The behaviour of the command line, as files: each `tests/cli/*.toml` is one call of the real program with
//! its exit code and its exact output.
//!
//! A file that needs a controller scripts one: `[[server]]` states which request is expected and what is
//! answered. That is a fake, made to show what the program does with each answer; the real controller is
//! tested with its own crate and in the laboratory.
//!
//! Run with `TIMEBALL_BLESS=1` to write the `[expect]` part of every file that does not match; read the
//! difference before it is committed.

#![expect(
    clippy::unwrap_used,
    reason = "the harness is a test as a whole: what goes wrong in it fails the test"
)]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use harness::case::Case;

#[test]
fn every_behaviour_is_as_its_file_says() {
    let only = std::env::var("TIMEBALL_CLI_ONLY").unwrap_or_default();
    let bless = std::env::var_os("TIMEBALL_BLESS").is_some();
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 45, "{} files", files.len());
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.to_string_lossy().contains(&only)) {
        let text = fs::read_to_string(file).unwrap();
        let case: Case = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let run = case.run();
        let Err(difference) = case.expect.check(&run) else {
            continue;
        };
        if bless {
            fs::write(file, harness::case::blessed(&text, &run)).unwrap();
        }
        wrong.push(format!("=== {}\n{difference}", file.display()));
    }
    assert!(
        wrong.is_empty(),
        "{} files do not match\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_timeball"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
