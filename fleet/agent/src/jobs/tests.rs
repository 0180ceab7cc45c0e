//! The agent dies between any two calls to its host, and what it finds at its next start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Servers;

use super::*;
use crate::host::SimulatedHost;
use crate::host::hooked::{Call, Fate, HookedHost};
use crate::run::Workshop;
use crate::settings::Settings;

const SOURCES: &str = "/etc/chrony/sources.d/timeball.sources";
const OSAPI: &str = "/etc/chrony/sources.d/osapi-ntp.sources";
const OSAPI_CONF: &str = "/etc/chrony/conf.d/osapi-ntp.conf";

/// Everything about a host that a job can change.
#[derive(Clone, Debug, PartialEq)]
struct Snapshot {
    files: BTreeMap<PathBuf, String>,
    loaded: Vec<String>,
}

fn snapshot(host: &SimulatedHost) -> Snapshot {
    let paths = host.paths().into_iter();
    let mut loaded: Vec<String> =
        host.with_chrony(|chrony| chrony.sources.iter().map(|(name, _)| name.clone()).collect());
    loaded.sort();
    Snapshot {
        files: paths
            .filter(|path| path.starts_with("/etc/chrony") || path.ends_with("ntp.json"))
            .map(|path| (path.clone(), host.text(path).unwrap()))
            .collect(),
        loaded,
    }
}

fn servers(names: &[&str]) -> Servers {
    Servers::new(names.iter().map(|name| name.parse().unwrap()).collect()).unwrap()
}

fn open(host: impl Host) -> Result<Workshop, AgentError> {
    let host: Arc<dyn Host> = Arc::new(host);
    Workshop::open(&host, &Settings::new("c:1"))
}

/// A host as a story leaves it.
type Prepare = fn() -> SimulatedHost;

fn fresh() -> SimulatedHost {
    SimulatedHost::new(&"0".repeat(32), "h")
}

fn managed() -> SimulatedHost {
    let host = fresh();
    let create = Operation::NtpCreate(servers(&["a", "b"]));
    let result = open(host.clone())
        .unwrap()
        .jobs
        .perform_here(Uuid::from_u128(7), &create);
    assert!(matches!(result.unwrap().outcome, Outcome::Changed(_)));
    host
}

fn edited() -> SimulatedHost {
    let host = managed();
    host.write(SOURCES, "server a iburst\nserver hand\n");
    // What chronyd has before a job must be what its files say: going back means to load them.
    host.restart_chrony();
    host
}

fn missing() -> SimulatedHost {
    let host = managed();
    host.delete(SOURCES);
    host.restart_chrony();
    host
}

fn osapi() -> SimulatedHost {
    let host = fresh();
    host.write(OSAPI, "server a iburst\n");
    host.restart_chrony();
    host
}

fn osapi_conf() -> SimulatedHost {
    let host = fresh();
    host.write(OSAPI_CONF, "server a iburst\n");
    host.restart_chrony();
    host
}

fn stories() -> Vec<(&'static str, Prepare, Operation)> {
    let update = || Operation::NtpUpdate(servers(&["b", "c"]));
    vec![
        ("create", fresh, Operation::NtpCreate(servers(&["a", "b"]))),
        ("update", managed, update()),
        ("delete", managed, Operation::NtpDelete),
        ("update of an edited file", edited, update()),
        ("update of a missing file", missing, update()),
        ("delete of a missing file", missing, Operation::NtpDelete),
        (
            "create over OSAPI's file",
            osapi,
            Operation::NtpCreate(servers(&["a"])),
        ),
        ("update of OSAPI's file", osapi, update()),
        ("update of OSAPI's conf.d file", osapi_conf, update()),
        ("delete of OSAPI's conf.d file", osapi_conf, Operation::NtpDelete),
    ]
}

/// Performs the job on an agent that meets `fate` at its call number `at`. Says whether it died.
fn die(host: &SimulatedHost, operation: Option<&Operation>, at: usize, fate: Fate) -> bool {
    let mut calls = 0;
    let mortal = HookedHost::new(host.clone(), move |_| {
        calls += 1;
        if calls == at { fate } else { Fate::Happens }
    });
    if let (Ok(workshop), Some(operation)) = (open(mortal.clone()), operation) {
        workshop.jobs.desk.perform(JOB, operation);
    }
    mortal.is_dead()
}

const JOB: Uuid = Uuid::from_u128(1);
const DEATHS: [Fate; 3] = [Fate::LastBefore, Fate::LastInTheMiddle, Fate::LastAfter];

/// What the agent says about the job after its restart; nothing when it never started it.
fn answer(host: &SimulatedHost) -> Option<HostResult> {
    let workshop = open(host.clone()).unwrap();
    assert_eq!(lock(&workshop.jobs.desk.journal).interrupted(), None);
    let results = lock(&workshop.jobs.desk.journal).unacknowledged();
    assert!(results.len() <= 1, "{results:?}");
    results.into_iter().next()
}

#[track_caller]
fn assert_old_or_new(
    context: &str,
    answer: Option<&HostResult>,
    now: &Snapshot,
    old: &Snapshot,
    new: &Snapshot,
) {
    match answer.map(|result| &result.outcome) {
        None => assert_eq!(now, old, "{context}: never started"),
        Some(Outcome::Changed(_)) => assert_eq!(now, new, "{context}: done"),
        Some(Outcome::Failed(failure)) => {
            assert_eq!(failure.kind, FailureKind::Interrupted, "{context}: {failure}");
            assert_eq!(failure.rolled_back, Some(true), "{context}: {failure}");
            assert_eq!(now, old, "{context}: {failure}");
        }
        Some(other) => panic!("{context}: {other:?}"),
    }
}

/// Calls `check` with a host on which the agent died at each of its calls in each way.
fn at_every_death(mut check: impl FnMut(&str, &SimulatedHost, &Snapshot, &Snapshot)) {
    for (story, prepare, operation) in stories() {
        let old = snapshot(&prepare());
        let whole = prepare();
        assert!(!die(&whole, Some(&operation), usize::MAX, Fate::Happens));
        let new = snapshot(&whole);
        assert_ne!(old, new, "{story}");
        let mut deaths = 0;
        for fate in DEATHS {
            for at in 1.. {
                let host = prepare();
                if !die(&host, Some(&operation), at, fate) {
                    break;
                }
                deaths += 1;
                check(&format!("{story}, {fate:?} of call {at}"), &host, &old, &new);
            }
        }
        assert!(deaths > 90, "{story}: only {deaths} deaths");
    }
}

#[test]
fn wherever_the_agent_dies_the_host_is_old_or_new_after_its_restart() {
    let (mut undone, mut done, mut never) = (0, 0, 0);
    at_every_death(|context, host, old, new| {
        let answer = answer(host);
        assert_old_or_new(context, answer.as_ref(), &snapshot(host), old, new);
        match answer.map(|result| result.outcome) {
            None => never += 1,
            Some(Outcome::Changed(_)) => done += 1,
            Some(_) => undone += 1,
        }
    });
    assert!(undone > 50 && done > 50 && never > 50, "{undone} {done} {never}");
}

#[test]
fn wherever_it_dies_without_chronyd_the_host_is_old_or_new_when_chronyd_starts() {
    at_every_death(|context, host, old, new| {
        host.with_chrony(|chrony| chrony.running = false);
        let answer = answer(host);
        host.restart_chrony();
        // What was not loaded before the job is loaded by the start of chronyd.
        let started = |snapshot: &Snapshot| {
            let host = fresh();
            snapshot
                .files
                .iter()
                .for_each(|(path, text)| host.write(path, text));
            host.restart_chrony();
            self::snapshot(&host)
        };
        assert_old_or_new(
            context,
            answer.as_ref(),
            &snapshot(host),
            &started(old),
            &started(new),
        );
    });
}

#[test]
fn it_may_die_again_while_it_puts_things_right() {
    let mut deaths = 0;
    at_every_death(|context, host, old, new| {
        // Each start gets a little further.
        let mut again = 40;
        while die(host, None, again, DEATHS[again % 3]) {
            again += 3;
            deaths += 1;
        }
        let answer = answer(host);
        assert_old_or_new(context, answer.as_ref(), &snapshot(host), old, new);
    });
    assert!(deaths > 500, "{deaths}");
}

#[test]
fn a_job_is_done_once_however_often_it_comes() {
    let host = fresh();
    let workshop = open(host.clone()).unwrap();
    let desk = &workshop.jobs.desk;
    let create = Operation::NtpCreate(servers(&["a"]));
    let first = desk.perform(JOB, &create).unwrap();
    host.write(SOURCES, "server hand\n");
    assert_eq!(desk.perform(JOB, &Operation::NtpDelete), Some(first));
    lock(&desk.journal).acknowledge(JOB).unwrap();
    assert_eq!(desk.perform(JOB, &Operation::NtpDelete), None);
    assert_eq!(host.text(SOURCES).unwrap(), "server hand\n");
}

#[test]
fn what_cannot_be_written_down_is_not_started() {
    let host = managed();
    let old = snapshot(&host);
    // The second line of the journal is the plan.
    for which in [1, 2] {
        let mut lines = 0;
        let full = HookedHost::new(host.clone(), move |call| {
            lines += i32::from(*call == Call::Append);
            if *call == Call::Append && lines >= which {
                Fate::Fails(std::io::ErrorKind::StorageFull)
            } else {
                Fate::Happens
            }
        });
        let workshop = open(full).unwrap();
        let result = workshop.jobs.desk.perform(Uuid::new_v4(), &Operation::NtpDelete);
        let Outcome::Failed(failure) = result.unwrap().outcome else {
            panic!("done without a journal")
        };
        assert_eq!(failure.kind, FailureKind::File);
        assert!(failure.error.contains("nothing was changed"), "{failure}");
        assert_eq!(snapshot(&host), old);
    }
}

#[test]
fn a_file_that_somebody_changed_after_the_interruption_is_left_alone() {
    let host = managed();
    let operation = Operation::NtpUpdate(servers(&["c"]));
    let mut replaced = 0;
    let mortal = HookedHost::new(host.clone(), move |call| {
        replaced += i32::from(*call == Call::Replace(PathBuf::from(SOURCES)));
        if replaced == 1 {
            Fate::LastAfter
        } else {
            Fate::Happens
        }
    });
    open(mortal).unwrap().jobs.desk.perform(JOB, &operation);
    host.write(SOURCES, "server hand\n");
    let Outcome::Failed(failure) = answer(&host).unwrap().outcome else {
        panic!("not failed")
    };
    assert_eq!(
        (failure.kind, failure.rolled_back),
        (FailureKind::Interrupted, Some(false))
    );
    assert!(failure.error.contains("changed by somebody else"), "{failure}");
    assert_eq!(host.text(SOURCES).unwrap(), "server hand\n");
}
