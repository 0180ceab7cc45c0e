//! What people apply to a cluster: the manifests in `deploy/kubernetes` are what Kubernetes takes, in several versions of it,
//! and say nothing that is a mistake all the same.
//!
//! The Python package kubernetes-validate has Kubernetes' schemas with it and asks nobody; what a schema cannot say [`lint`]
//! looks at. Both are shown to notice the mistakes of a manifest as it was printed in an article, and others' usual ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

mod lint;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lint::{documents, lint};

/// The versions of Kubernetes that are asked: old ones that are still run, and the newest that is known.
const VERSIONS: [&str; 4] = ["1.27", "1.30", "1.33", "1.37"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/manifests")
        .join(name)
}

/// All manifests, each with its name.
fn manifests() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 5, "{paths:?}");
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

fn validate(version: &str, path: &Path) -> Output {
    let tool = std::env::var("KUBERNETES_VALIDATE").expect(
        "set KUBERNETES_VALIDATE to the program kubernetes-validate, or run ./test, which installs it",
    );
    Command::new(tool)
        .args(["--strict", "-k", version])
        .arg(path)
        .output()
        .unwrap()
}

#[test]
fn kubernetes_takes_the_manifests() {
    for version in VERSIONS {
        for (path, _) in manifests() {
            let output = validate(version, &path);
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && said.contains(" passed ") && !said.contains("ERROR"),
                "{version}: {said}"
            );
        }
    }
}

#[test]
fn the_manifests_have_none_of_the_usual_mistakes() {
    let mut all = Vec::new();
    for (path, text) in manifests() {
        let found = documents(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        all.extend(found);
    }
    assert_eq!(lint(&all), [""; 0]);
    // It has looked at something.
    let kinds: Vec<&str> = all
        .iter()
        .filter_map(|document| document["kind"].as_str())
        .collect();
    for kind in [
        "Namespace",
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "StatefulSet",
        "Service",
    ] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
}

#[test]
fn the_manifest_as_printed_is_caught() {
    let path = fixture("printed.yaml");
    for version in VERSIONS {
        assert!(!validate(version, &path).status.success(), "{version}");
    }
    let text = fs::read_to_string(&path).unwrap();
    let found = lint(&documents(&text).unwrap());
    for mistake in [
        "ConfigMap ?: metadata.name is missing",
        "ConfigMap ?: there is a field `ntpd.conf` beside kind and metadata: lost indentation?",
        "DaemonSet ?: metadata.name is missing",
        "DaemonSet ?: there is a field `selector` beside kind and metadata: lost indentation?",
        "DaemonSet ?: there is a field `template` beside kind and metadata: lost indentation?",
        "DaemonSet ?: spec.template is missing",
    ] {
        assert!(found.iter().any(|said| said == mistake), "{mistake}: {found:#?}");
    }
}

#[test]
fn the_printed_manifest_with_its_indentation_is_caught_for_what_is_left() {
    let path = fixture("indented.yaml");
    assert!(
        validate(VERSIONS[2], &path).status.success(),
        "a schema has nothing against it"
    );
    let found = lint(&documents(&fs::read_to_string(&path).unwrap()).unwrap());
    for mistake in [
        "DaemonSet ntpd, container ntp-sync: privileged gives the whole node away; CAP_SYS_TIME is enough",
        "DaemonSet ntpd, container ntp-sync: the image goglides/ntpd has no version",
        "DaemonSet ntpd, container ntp-sync: imagePullPolicy Never works on nodes that have the image already",
        "DaemonSet ntpd: no toleration for node-role.kubernetes.io/control-plane",
        "DaemonSet ntpd, container ntp-sync: no readinessProbe",
        "DaemonSet ntpd, container ntp-sync: no livenessProbe",
        "DaemonSet ntpd, container ntp-sync: capabilities do not drop ALL",
    ] {
        assert!(found.iter().any(|said| said == mistake), "{mistake}: {found:#?}");
    }
    assert!(!found.iter().any(|said| said.contains("selector")), "{found:#?}");
}

#[test]
fn the_usual_mistakes_are_caught_each() {
    let text = fs::read_to_string(fixture("mistakes.yaml")).unwrap();
    let found = lint(&documents(&text).unwrap());
    let expected = fs::read_to_string(fixture("mistakes.expected")).unwrap();
    assert_eq!(found.join("\n") + "\n", expected);
    assert!(!validate(VERSIONS[3], &fixture("mistakes.yaml")).status.success());
}
