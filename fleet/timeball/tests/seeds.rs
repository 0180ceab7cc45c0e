//! `docs/seeds.md` tells the truth about tests: every item has a state, and every test that is named exists and is
//! not switched off. Those that want root or an emulated machine are left to `./test`, and say so.
#![expect(
    clippy::expect_used,
    reason = "a test says what is wrong by panicking, in its helpers too"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What stands in place of a test that does not exist.
const NOT_YET: &str = "not yet";

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("a workspace").to_owned()
}

/// One item of the checklist.
#[derive(Debug)]
struct Item {
    id: String,
    /// What shows it: references between backquotes, or that nothing does.
    shown_by: String,
}

impl Item {
    fn references(&self) -> impl Iterator<Item = &str> {
        self.shown_by.split('`').skip(1).step_by(2)
    }

    /// What is wrong with it, if anything is.
    fn fault(&self, root: &Path) -> Option<String> {
        let not_yet = self.shown_by == NOT_YET || self.shown_by.starts_with("not yet: ");
        if !not_yet && !self.shown_by.starts_with('`') {
            return Some(format!("{:?} is neither a test nor \"{NOT_YET}\"", self.shown_by));
        }
        if !self.shown_by.matches('`').count().is_multiple_of(2) {
            return Some("a backquote is missing".to_owned());
        }
        self.references().find_map(|reference| missing(root, reference))
    }
}

/// Why a reference leads nowhere, if it does: `FILE: FUNCTION` to a test, or `FILE.toml`.
fn missing(root: &Path, reference: &str) -> Option<String> {
    let (file, function) = match reference.split_once(": ") {
        Some((file, function)) => (file, Some(function)),
        None => (reference, None),
    };
    let Ok(source) = fs::read_to_string(root.join(file)) else {
        return Some(format!("{file} does not exist"));
    };
    match function {
        None if file.ends_with(".toml") => None,
        None => Some(format!("{file} names no test")),
        Some(function) => why_no_test(&source, function).map(|why| format!("{file}: {function} {why}")),
    }
}

/// What stands in the reason of a test that `cargo test` leaves out and the script runs.
const LEFT_TO_THE_SCRIPT: &str = "`./test";

/// Why a function is no test that runs, if it is none. Tests within `proptest!` have the attribute like others;
/// those that a macro of the file makes are in its list.
fn why_no_test(source: &str, function: &str) -> Option<&'static str> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let starts = [format!("fn {function}("), format!("async fn {function}(")];
    let Some(at) = lines
        .iter()
        .position(|line| starts.iter().any(|start| line.starts_with(start)))
    else {
        return Some("does not exist");
    };
    let attributes: Vec<&str> = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        .copied()
        .collect();
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    if !attributes.iter().any(is_test) && !is_made_a_test(&lines, function) {
        return Some("is no test");
    }
    let is_off = |line: &&str| line.starts_with("#[ignore") && !line.contains(LEFT_TO_THE_SCRIPT);
    let off = attributes.iter().any(is_off);
    off.then_some("is switched off")
}

/// Whether a function stands, on a line of its own, in the list of a macro of the same file that makes tests.
fn is_made_a_test(lines: &[&str], function: &str) -> bool {
    let name = |line: &str| {
        let name = line.strip_suffix(',')?;
        name.chars()
            .all(|c| c.is_alphanumeric() || c == '_')
            .then(|| name.to_owned())
    };
    let Some(at) = lines
        .iter()
        .position(|line| name(line).as_deref() == Some(function))
    else {
        return false;
    };
    let head = lines[..at].iter().rev().find(|line| name(line).is_none());
    let makes_tests = lines.iter().any(|line| line.starts_with("$(#[test]"));
    head.and_then(|head| head.strip_suffix("! {").or_else(|| head.strip_suffix("!(")))
        .is_some_and(|called| makes_tests && lines.contains(&format!("macro_rules! {called} {{").as_str()))
}

/// The rows of the tables.
fn items(text: &str) -> Vec<Item> {
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line
                .strip_prefix("| ")?
                .strip_suffix(" |")?
                .split(" | ")
                .collect();
            match cells.as_slice() {
                [id, _, shown_by] if !id.is_empty() => Some(Item {
                    id: (*id).to_owned(),
                    shown_by: (*shown_by).to_owned(),
                }),
                _ => None,
            }
        })
        .collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let root = root();
    let text = fs::read_to_string(root.join("docs/seeds.md")).expect("the checklist");
    let items = items(&text);
    // A table that is written in another way must not go unread.
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
    assert_eq!(items.len(), rows.count());
    assert!(items.len() > 120, "{} items", items.len());
    let ids: BTreeSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids.len(), items.len(), "an item's name is used twice");
    let faults: Vec<String> = items
        .iter()
        .filter_map(|item| Some(format!("{}: {}", item.id, item.fault(&root)?)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_reference_that_leads_nowhere_is_found() {
    let source = "#[test]\nfn here() {}\n\nfn helper() {}\n\n#[test]\n#[ignore = \"slow\"]\nfn off() {}\n\n\
                  #[test]\n#[ignore = \"as root: `./test` does it\"]\nfn left() {}\n\n\
                  #[tokio::test(flavor = \"multi_thread\")]\n// said\nasync fn waits() {}\n";
    assert_eq!(why_no_test(source, "here"), None);
    assert_eq!(why_no_test(source, "waits"), None);
    assert_eq!(why_no_test(source, "left"), None);
    assert_eq!(why_no_test(source, "helper"), Some("is no test"));
    assert_eq!(why_no_test(source, "off"), Some("is switched off"));
    assert_eq!(why_no_test(source, "her"), Some("does not exist"));

    let made = "macro_rules! tests {\n($($test:ident,)+) => {\n$(#[test]\nfn $test() { super::$test() })+\n};\n}\n\n\
                tests! {\nfirst,\nsecond,\n}\n\nothers! {\nthird,\n}\n\n\
                fn first() {}\nfn second() {}\nfn third() {}\nfn fourth() {}\n";
    assert_eq!(why_no_test(made, "first"), None);
    assert_eq!(why_no_test(made, "second"), None);
    assert_eq!(why_no_test(made, "third"), Some("is no test"));
    assert_eq!(why_no_test(made, "fourth"), Some("is no test"));

    let fault = |shown_by: &str| {
        let item = Item {
            id: "X1".to_owned(),
            shown_by: shown_by.to_owned(),
        };
        item.fault(&root())
    };
    assert_eq!(fault("not yet"), None);
    let here = "fleet/timeball/tests/seeds.rs";
    assert_eq!(fault(&format!("`{here}: every_test_that_is_named_exists`")), None);
    for bad in [
        "",
        "yes",
        "`fleet/nowhere.rs: a_test`",
        "`README.md`",
        &format!("`{here}: nothing`"),
        &format!("not yet: half of it, `{here}: nothing`"),
        &format!("`{here}: every_test_that_is_named_exists"),
    ] {
        assert!(fault(bad).is_some(), "{bad}");
    }
}
