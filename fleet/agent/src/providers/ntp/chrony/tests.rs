//! The provider on a simulated host whose parts fail.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::ntp::{DriftKind, NtpStatus, SyncState};
use model::{Failure, FailureKind, Operation, Outcome, Servers};
use wire::candm::Status;

use crate::host::hooked::{Call, Fate, HookedHost};
use crate::host::{Host, SimulatedHost};
use crate::settings::{Apply, Container, Settings};

const SOURCES: &str = "/etc/chrony/sources.d/timeball.sources";
const CONF: &str = "/etc/chrony/conf.d/timeball.conf";

fn host() -> SimulatedHost {
    SimulatedHost::new(&"0".repeat(32), "h")
}

fn managed() -> SimulatedHost {
    let host = host();
    let outcome = perform(&host, &create(&["a", "b"]));
    assert!(matches!(outcome, Outcome::Changed(_)), "{outcome:?}");
    host
}

fn servers(names: &[&str]) -> Servers {
    Servers::new(names.iter().map(|name| name.parse().unwrap()).collect()).unwrap()
}

fn create(names: &[&str]) -> Operation {
    Operation::NtpCreate(servers(names))
}

fn update(names: &[&str]) -> Operation {
    Operation::NtpUpdate(servers(names))
}

fn perform(host: &(impl Host + Clone), operation: &Operation) -> Outcome {
    perform_with(host, operation, |_| {})
}

fn perform_with(
    host: &(impl Host + Clone),
    operation: &Operation,
    change: impl FnOnce(&mut Settings),
) -> Outcome {
    let mut settings = Settings::new("c:1");
    change(&mut settings);
    let host: Arc<dyn Host> = Arc::new(host.clone());
    crate::perform_on(&host, &settings, operation).unwrap().outcome
}

#[track_caller]
fn failed(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn status(host: &SimulatedHost) -> NtpStatus {
    match perform(host, &Operation::NtpGet) {
        Outcome::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn loaded(host: &SimulatedHost) -> Vec<String> {
    host.with_chrony(|chrony| chrony.sources.iter().map(|(name, _)| name.clone()).collect())
}

const POOL: &str = "2.debian.pool.ntp.org";

#[test]
fn a_daemon_that_takes_its_time_for_each_answer_keeps_nobody_waiting() {
    let host = managed();
    let before = host.text(SOURCES);
    host.with_chrony(|chrony| {
        chrony.answer_time = Duration::from_millis(900);
        chrony.sources = (0..256).map(|number| (format!("s{number}"), true)).collect();
    });
    for operation in [Operation::NtpGet, update(&["c"])] {
        let begun = host.since_boot();
        let failure = failed(perform(&host, &operation));
        let took = host.since_boot() - begun;
        assert_eq!(failure.kind, FailureKind::DaemonUnreachable);
        assert!(
            failure.error.contains("it had not told all after 10 s"),
            "{failure}"
        );
        assert!(
            took <= Duration::from_secs(11),
            "{} took {took:?}",
            operation.name()
        );
    }
    assert_eq!(host.text(SOURCES), before);
}

#[test]
fn an_answer_that_cannot_be_read_is_no_silence() {
    let host = host();
    host.with_chrony(|chrony| chrony.answer_bytes = Some(40));
    let failure = failed(perform(&host, &Operation::NtpGet));
    assert_eq!(failure.kind, FailureKind::DaemonRefused);
    assert!(failure.error.starts_with("chronyd answered: "), "{failure}");
    // Without its header it could be anybody's answer.
    host.with_chrony(|chrony| chrony.answer_bytes = Some(10));
    let failure = failed(perform(&host, &Operation::NtpGet));
    assert_eq!(failure.kind, FailureKind::DaemonUnreachable);
}

#[test]
fn a_full_disk_leaves_everything_as_it_was() {
    let simulated = managed();
    let before = simulated.text(SOURCES);
    let full = HookedHost::new(simulated.clone(), |call| match call {
        Call::Replace(path) if path.ends_with("timeball.sources") => Fate::Fails(ErrorKind::StorageFull),
        _ => Fate::Happens,
    });
    let failure = failed(perform(&full, &update(&["c"])));
    assert_eq!((failure.kind, failure.rolled_back), (FailureKind::File, None));
    assert!(failure.error.contains("no storage space"), "{failure}");
    assert_eq!(simulated.text(SOURCES), before);
    assert_eq!(
        simulated.with_chrony(|chrony| chrony.reloads),
        1,
        "only create reloaded"
    );
}

#[test]
fn a_record_that_cannot_be_written_undoes_the_change() {
    let simulated = managed();
    let before = simulated.text(SOURCES);
    let full = HookedHost::new(simulated.clone(), |call| match call {
        Call::Replace(path) if path.ends_with("ntp.json") => Fate::Fails(ErrorKind::StorageFull),
        _ => Fate::Happens,
    });
    let failure = failed(perform(&full, &update(&["c"])));
    assert_eq!(
        (failure.kind, failure.rolled_back),
        (FailureKind::File, Some(true))
    );
    assert_eq!(simulated.text(SOURCES), before);
    assert_eq!(loaded(&simulated), [POOL, "a", "b"]);
}

#[test]
fn a_refused_reload_is_told_in_chronyds_words_and_undone() {
    let host = managed();
    let before = host.text(SOURCES);
    host.with_chrony(|chrony| chrony.reload_answers = [Status::Failed].into());
    let failure = failed(perform(&host, &update(&["c"])));
    assert_eq!(
        (failure.kind, failure.rolled_back),
        (FailureKind::DaemonRefused, Some(true))
    );
    assert!(failure.error.contains("500 Failure"), "{failure}");
    assert_eq!(host.text(SOURCES), before);
    assert_eq!(loaded(&host), [POOL, "a", "b"]);

    host.with_chrony(|chrony| {
        chrony
            .reload_answers
            .extend([Status::Failed, Status::Unauthorised]);
    });
    let failure = failed(perform(&host, &update(&["c"])));
    assert_eq!(failure.rolled_back, Some(false));
    assert!(failure.error.contains("501 Not authorised"), "{failure}");
    assert_eq!(host.text(SOURCES), before);
}

#[test]
fn a_source_that_chronyd_does_not_take_undoes_the_change() {
    let host = managed();
    host.with_chrony(|chrony| chrony.refused.insert("bad".to_owned()));
    for (operation, expected) in [
        (update(&["c", "bad"]), vec![POOL, "a", "b"]),
        (Operation::NtpDelete, vec![POOL]),
    ] {
        let outcome = perform(&host, &operation);
        if operation != Operation::NtpDelete {
            let failure = failed(outcome);
            assert_eq!(
                (failure.kind, failure.rolled_back),
                (FailureKind::DaemonRefused, Some(true))
            );
            assert!(failure.error.contains("did not take bad"), "{failure}");
        }
        assert_eq!(loaded(&host), expected);
    }
    let failure = failed(perform(&host, &create(&["bad"])));
    assert_eq!(failure.rolled_back, Some(true));
    assert_eq!(host.text(SOURCES), None);
}

#[test]
fn a_daemon_that_goes_away_in_the_middle_gets_its_file_back() {
    let simulated = managed();
    let before = simulated.text(SOURCES);
    let (inner, mut written) = (simulated.clone(), false);
    let host = HookedHost::new(simulated.clone(), move |call| {
        // The hook must not look at the machine while it is asked about it, but it can take chronyd away.
        if matches!(call, Call::Replace(path) if path.ends_with("timeball.sources")) && !written {
            written = true;
            inner.with_chrony(|chrony| chrony.running = false);
        }
        Fate::Happens
    });
    let failure = failed(perform(&host, &update(&["c"])));
    assert_eq!(
        (failure.kind, failure.rolled_back),
        (FailureKind::DaemonUnreachable, Some(true))
    );
    assert!(failure.error.contains("reads it when it starts"), "{failure}");
    assert_eq!(simulated.text(SOURCES), before);
}

#[test]
fn who_is_not_root_may_read_only() {
    let host = host();
    host.set_root(false);
    for operation in [create(&["a"]), update(&["a"]), Operation::NtpDelete] {
        let failure = failed(perform(&host, &operation));
        assert_eq!(failure.kind, FailureKind::NeedsRoot);
        assert!(failure.error.starts_with("needs root: "), "{failure}");
    }
    let status = status(&host);
    assert_eq!(status.state, SyncState::Synchronized);
    assert_eq!(status.current_source.as_deref(), Some(POOL));
    assert_eq!(
        status.other_servers,
        [format!("pool {POOL} iburst (/etc/chrony/chrony.conf:2)")]
    );
    // chronyd says 2 µs ahead of the source; our sign is positive when behind.
    assert!((status.sources[0].offset_s + 2e-6).abs() < 1e-12);
    assert!((status.offset_s.unwrap() - 1e-6).abs() < 1e-12);
    assert!((status.error_bound_s.unwrap() - 0.001_001).abs() < 1e-9);
}

#[test]
fn hosts_that_cannot_be_managed_are_skipped_with_the_reason() {
    let alpine = host();
    alpine.write("/etc/os-release", "ID=alpine\n");
    let container = host();
    container.write("/.dockerenv", "");
    for (host, says) in [(&alpine, "alpine"), (&container, "container")] {
        for operation in [Operation::NtpGet, create(&["a"]), Operation::NtpDelete] {
            let Outcome::Skipped { reason } = perform(host, &operation) else {
                panic!("not skipped")
            };
            assert!(
                reason.contains(says) && reason.contains("debian and rhel"),
                "{reason}"
            );
        }
    }
    let outcome = perform_with(&container, &create(&["a"]), |settings| {
        settings.container = Container::Host;
    });
    assert!(matches!(outcome, Outcome::Changed(_)), "{outcome:?}");
}

#[test]
fn without_chrony_the_remedy_is_named() {
    let host = host();
    host.with_chrony(|chrony| chrony.running = false);
    let failure = failed(perform(&host, &Operation::NtpGet));
    assert_eq!(failure.kind, FailureKind::DaemonUnreachable);
    assert!(failure.error.contains("systemctl status chrony"), "{failure}");
    host.delete("/etc/chrony/chrony.conf");
    let failure = failed(perform(&host, &Operation::NtpGet));
    assert!(failure.error.contains("apt-get install chrony"), "{failure}");
}

#[test]
fn rhel_without_a_source_directory_is_told_and_adopted() {
    let host = host();
    host.write(
        "/etc/os-release",
        "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
    );
    host.delete("/etc/chrony/chrony.conf");
    host.write(
        "/etc/chrony.conf",
        "pool 2.rocky.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\n",
    );
    let failure = failed(perform(&host, &create(&["a"])));
    assert_eq!(failure.kind, FailureKind::NoPlace);
    assert!(
        failure
            .error
            .contains("`sourcedir /etc/chrony/sources.d` to /etc/chrony.conf"),
        "{failure}"
    );
    let settings = Settings::new("c:1");
    let shared: Arc<dyn Host> = Arc::new(host.clone());
    let report = crate::local::adopt_on(&shared, &settings).unwrap();
    assert!(report.changed);
    assert!(
        host.text("/etc/chrony.conf")
            .unwrap()
            .ends_with("\nsourcedir /etc/chrony/sources.d\n")
    );
    assert_eq!(
        host.text("/etc/chrony.conf.timeball-backup").unwrap(),
        "pool 2.rocky.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\n"
    );
    assert_eq!(host.with_chrony(|chrony| chrony.restarts), 1);
    assert!(!crate::local::adopt_on(&shared, &settings).unwrap().changed);

    // A former file is kept as long as nobody removes it, and one that is in force again is not kept twice.
    let second = "pool 2.rocky.pool.ntp.org iburst\nmakestep 1 3\n";
    host.write("/etc/chrony.conf", second);
    host.with_chrony(|chrony| chrony.failing_restarts = 1);
    crate::local::adopt_on(&shared, &settings).unwrap_err();
    assert_eq!(host.text("/etc/chrony.conf").unwrap(), second);
    assert_eq!(host.text("/etc/chrony.conf.timeball-backup.2"), None);
    let report = crate::local::adopt_on(&shared, &settings).unwrap();
    let kept = report.backup.unwrap();
    assert_eq!(kept, Path::new("/etc/chrony.conf.timeball-backup.2"));
    assert_eq!(host.text("/etc/chrony.conf.timeball-backup.2").unwrap(), second);
    assert!(
        host.text("/etc/chrony.conf.timeball-backup")
            .unwrap()
            .contains("/run/chrony-dhcp")
    );
    host.write("/etc/chrony.conf", second);
    let report = crate::local::adopt_on(&shared, &settings).unwrap();
    assert_eq!(report.backup.unwrap(), kept);
}

#[test]
fn a_failed_restart_brings_the_former_file_back() {
    let host = host();
    let confdir = |settings: &mut Settings| settings.chrony.apply = Apply::Confdir;
    let outcome = perform_with(&host, &create(&["a"]), confdir);
    assert!(matches!(outcome, Outcome::Changed(_)), "{outcome:?}");
    let before = host.text(CONF);
    assert!(before.is_some());
    host.with_chrony(|chrony| chrony.failing_restarts = 1);
    let failure = failed(perform_with(&host, &update(&["b"]), confdir));
    assert_eq!(
        (failure.kind, failure.rolled_back),
        (FailureKind::DaemonRefused, Some(true))
    );
    assert!(
        failure.error.contains("Job for chrony.service failed."),
        "{failure}"
    );
    assert_eq!(host.text(CONF), before);
    assert_eq!(loaded(&host), ["a", POOL]);
}

#[test]
fn a_daemon_that_a_restart_ended_is_told_within_the_jobs_lifetime() {
    let simulated = host();
    let confdir = |settings: &mut Settings| settings.chrony.apply = Apply::Confdir;
    let outcome = perform_with(&simulated, &create(&["a"]), confdir);
    assert!(matches!(outcome, Outcome::Changed(_)), "{outcome:?}");
    let before = simulated.text(CONF);
    let mut changed = false;
    let host = HookedHost::new(simulated.clone(), move |call| {
        changed |= matches!(call, Call::Replace(path) if path == Path::new(CONF));
        match call {
            Call::Open if changed => Fate::Fails(ErrorKind::ConnectionRefused),
            _ => Fate::Happens,
        }
    });
    let begun = simulated.since_boot();
    let failure = failed(perform_with(&host, &update(&["b"]), confdir));
    // The agent ended it: that nobody answers does not mean that the former state is back.
    assert_eq!(
        (failure.kind, failure.rolled_back),
        (FailureKind::DaemonUnreachable, Some(false))
    );
    assert!(failure.error.contains("did not take it back"), "{failure}");
    assert_eq!(simulated.text(CONF), before);
    let took = simulated.since_boot() - begun;
    assert!(took <= Duration::from_secs(25), "a job waits for 30 s: {took:?}");
}

#[test]
fn a_restart_that_does_not_happen_leaves_the_daemon_as_it_was() {
    let simulated = host();
    let confdir = |settings: &mut Settings| settings.chrony.apply = Apply::Confdir;
    simulated.write("/proc/77/comm", "chronyd\n");
    let outcome = perform_with(&simulated, &create(&["a"]), confdir);
    assert!(matches!(outcome, Outcome::Changed(_)), "{outcome:?}");
    let before = simulated.text(CONF);
    let refused = |restarted: bool| {
        let (inner, mut changed) = (simulated.clone(), false);
        let host = HookedHost::new(simulated.clone(), move |call| {
            changed |= matches!(call, Call::Replace(path) if path == Path::new(CONF));
            match call {
                Call::Run if changed => {
                    if restarted {
                        inner.delete("/proc/77/comm");
                        inner.write("/proc/78/comm", "chronyd\n");
                    }
                    Fate::Fails(ErrorKind::PermissionDenied)
                }
                _ => Fate::Happens,
            }
        });
        failed(perform_with(&host, &update(&["b"]), confdir))
    };
    let failure = refused(false);
    assert_eq!(
        (failure.kind, failure.rolled_back),
        (FailureKind::DaemonRefused, Some(true))
    );
    assert!(failure.error.contains("chronyd was not restarted"), "{failure}");
    assert_eq!(simulated.text(CONF), before);
    // Where it is another process by now, nobody knows what that one has read.
    assert_eq!(refused(true).rolled_back, Some(false));
    assert_eq!(simulated.text(CONF), before);
}

#[test]
fn nothing_is_written_when_nothing_changes() {
    let simulated = managed();
    let read_only = HookedHost::new(simulated.clone(), |call| match call {
        Call::Replace(_) | Call::Remove(_) => Fate::Fails(ErrorKind::ReadOnlyFilesystem),
        _ => Fate::Happens,
    });
    for operation in [create(&["a", "b"]), update(&["a", "b"])] {
        let outcome = perform(&read_only, &operation);
        assert!(matches!(outcome, Outcome::Unchanged(_)), "{outcome:?}");
    }
    assert_eq!(simulated.with_chrony(|chrony| chrony.reloads), 1);
    let failure = failed(perform(&read_only, &update(&["c"])));
    assert_eq!((failure.kind, failure.rolled_back), (FailureKind::File, None));
}

#[test]
fn a_lost_or_damaged_record_is_made_anew_and_hides_nothing() {
    let host = managed();
    host.delete("/var/lib/timeball/agent/ntp.json");
    let seen = status(&host);
    assert!(seen.managed && seen.drift.is_none());
    assert!(
        seen.notes.iter().any(|note| note.contains("no record")),
        "{:?}",
        seen.notes
    );
    assert!(matches!(
        perform(&host, &create(&["a", "b"])),
        Outcome::Unchanged(_)
    ));
    assert!(status(&host).notes.is_empty());
    host.write("/var/lib/timeball/agent/ntp.json", "{");
    assert!(status(&host).notes[0].contains("damaged"));
    assert!(matches!(perform(&host, &update(&["c"])), Outcome::Changed(_)));
    assert!(status(&host).notes.is_empty());
}

#[test]
fn drift_is_told_apart() {
    let host = managed();
    assert_eq!(status(&host).drift, None);
    let written = host.text(SOURCES).unwrap();
    host.write(SOURCES, &format!("{written}# mine\n"));
    assert_eq!(status(&host).drift.unwrap().kind, DriftKind::Edited);
    host.delete(SOURCES);
    let gone = status(&host);
    assert_eq!(gone.drift.unwrap().kind, DriftKind::Missing);
    assert_eq!(gone.servers, ["a", "b"]);
    host.write(SOURCES, &written);
    host.with_chrony(|chrony| chrony.sources.retain(|(name, _)| name != "b"));
    let drift = status(&host).drift.unwrap();
    assert_eq!(drift.kind, DriftKind::NotLoaded);
    assert!(drift.detail.contains('b'), "{}", drift.detail);
}
