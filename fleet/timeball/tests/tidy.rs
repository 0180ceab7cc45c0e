//! What holds of the whole workspace: arrows between crates point down, pure crates stay pure, every file
//! says what it is, no licence forbids the others.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what a test cannot read or start is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The floors, lowest first. A crate uses crates of lower floors only.
const FLOORS: [&[&str]; 4] = [
    &["units", "model"],
    &["wire", "conf", "link", "bus"],
    &["engine", "os", "controller", "agent"],
    &["timeballd", "sim", "timeball", "fleet-bench", "fuzz"],
];

/// What each wing may use of the other, and the benchmark and the fuzz targets of both: the bridge is narrow.
const BRIDGE: [(&str, &str); 13] = [
    ("agent", "conf"),
    ("agent", "wire"),
    ("timeball", "conf"),
    ("timeball", "units"),
    ("timeball", "wire"),
    ("fleet-bench", "model"),
    ("fleet-bench", "link"),
    ("fuzz", "conf"),
    ("fuzz", "engine"),
    ("fuzz", "link"),
    ("fuzz", "model"),
    ("fuzz", "units"),
    ("fuzz", "wire"),
];

/// Crates that neither read clocks nor touch files, network, environment or processes.
const PURE: [&str; 5] = [
    "daemon/units",
    "daemon/wire",
    "daemon/conf",
    "daemon/engine",
    "fleet/model",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("a workspace")
        .to_owned()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Our crates with the names of those of our crates that they use, and their wing.
fn workspace(metadata: &Value) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let members = metadata["workspace_members"].as_array().expect("members");
    let ours: Vec<&Value> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter(|package| members.contains(&package["id"]))
        .collect();
    let names: BTreeSet<&str> = ours.iter().map(|package| text(package, "name")).collect();
    ours.iter()
        .map(|package| {
            let manifest = Path::new(text(package, "manifest_path"));
            let wing = manifest.strip_prefix(root()).expect("below the root");
            let wing = wing
                .components()
                .next()
                .expect("a wing")
                .as_os_str()
                .to_string_lossy();
            let uses = package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| text(dependency, "name"))
                .filter(|name| names.contains(name))
                .map(str::to_owned)
                .collect();
            (text(package, "name").to_owned(), (wing.into_owned(), uses))
        })
        .collect()
}

#[test]
fn arrows_between_crates_point_down() {
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    let crates = workspace(&metadata());
    for (name, (wing, uses)) in &crates {
        let own = floor(name).unwrap_or_else(|| panic!("{name} has no floor: give it one in this test"));
        for used in uses {
            let below = floor(used).unwrap_or_else(|| panic!("{used} has no floor"));
            assert!(below < own, "{name} (floor {own}) uses {used} (floor {below})");
            let crosses = crates[used].0 != *wing;
            let allowed = BRIDGE.contains(&(name.as_str(), used.as_str()));
            assert!(
                !crosses || allowed,
                "{name} reaches into the other wing for {used}"
            );
        }
    }
}

#[test]
fn agents_never_see_the_bus_and_the_controller_never_an_agent() {
    let crates = workspace(&metadata());
    assert!(!crates["agent"].1.contains("bus"));
    assert!(!crates["controller"].1.contains("agent"));
}

#[test]
fn pure_crates_stay_pure() {
    const FORBIDDEN: [&str; 10] = [
        "std::{",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::process",
        "std::env",
        "std::thread",
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
    ];
    for folder in PURE {
        for (path, source) in sources(&root().join(folder).join("src")) {
            // The tests in the file, and not the declarations of those in others.
            let code = source
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            for word in FORBIDDEN {
                assert!(!code.contains(word), "{} uses {word}", path.display());
            }
        }
    }
}

/// Nothing that must work on a host with a wrong clock may depend on that clock.
#[test]
fn the_agent_and_the_link_never_read_the_wall_clock() {
    for folder in ["fleet/agent/src", "fleet/link/src"] {
        for (path, source) in sources(&root().join(folder)) {
            for word in ["SystemTime", "Timestamp::now", "ClockId::Realtime"] {
                assert!(!source.contains(word), "{} uses {word}", path.display());
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for wing in ["daemon", "fleet", "fuzz"] {
        for (path, source) in sources(&root().join(wing)) {
            assert!(
                source.starts_with("//!"),
                "{} has no module documentation",
                path.display()
            );
        }
    }
}

#[test]
fn no_dependency_has_a_licence_that_forbids_ours() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("packages") {
        let licence = text(package, "license");
        let name = text(package, "name");
        let free = |term: &str| !(term.contains("GPL") || term.contains("SSPL") || term.contains("BUSL"));
        assert!(
            !licence.is_empty() || package["license_file"].is_string(),
            "{name} states no licence"
        );
        assert!(
            licence
                .split(" OR ")
                .any(|choice| choice.split(" AND ").all(free)),
            "{name} is under {licence}"
        );
    }
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).expect("a source file");
                found.push((path, source));
            }
        }
    }
    assert!(!found.is_empty(), "{} has no sources", folder.display());
    found
}
