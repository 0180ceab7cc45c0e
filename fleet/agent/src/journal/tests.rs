//! The journal is torn, damaged, filled, and opened again.

use model::{Change, Outcome};

use super::*;
use crate::host::SimulatedHost;

const PATH: &str = "/state/journal";

fn host() -> SimulatedHost {
    let host = SimulatedHost::new(&"0".repeat(32), "h");
    host.make_directory(Path::new("/state"), Access::Private).unwrap();
    host
}

fn open(host: &SimulatedHost) -> Journal {
    Journal::open(Arc::new(host.clone()), Path::new(PATH)).unwrap()
}

fn result(job: u128) -> HostResult {
    HostResult {
        job_id: Uuid::from_u128(job),
        machine_id: "m".into(),
        hostname: "h".into(),
        outcome: Outcome::Changed(Change::default()),
        duration_ms: 1,
        recovered: false,
    }
}

fn plan() -> Plan {
    Plan {
        files: vec![FileChange {
            path: "/f".into(),
            former: Some(Content(vec![0, 255])),
            next: None,
        }],
        record: FileChange {
            path: "/r".into(),
            former: None,
            next: Some(Content(b"{}".to_vec())),
        },
        effect: Effect::Reload,
        next: Names::default(),
        former: Names::default(),
    }
}

#[test]
fn a_job_is_never_started_twice_and_its_result_waits_for_the_controller() {
    let host = host();
    let job = Uuid::from_u128(1);
    let mut journal = open(&host);
    assert_eq!(journal.begin(job, &Operation::NtpDelete).unwrap(), Begin::Started);
    assert_eq!(journal.begin(job, &Operation::NtpDelete).unwrap(), Begin::Known);
    journal.plan(job, &plan()).unwrap();
    assert_eq!(open(&host).interrupted().unwrap().plan, Some(plan()));
    journal.finish(&result(1)).unwrap();
    for mut journal in [journal, open(&host)] {
        assert_eq!(journal.interrupted(), None);
        assert_eq!(journal.unacknowledged(), vec![result(1)]);
        let again = journal.begin(job, &Operation::NtpDelete).unwrap();
        assert_eq!(again, Begin::Finished(Box::new(result(1))));
    }
    open(&host).acknowledge(job).unwrap();
    let mut journal = open(&host);
    assert_eq!(journal.unacknowledged(), vec![]);
    assert_eq!(journal.begin(job, &Operation::NtpDelete).unwrap(), Begin::Known);
}

#[test]
fn a_torn_last_line_did_not_happen_at_any_length() {
    let host = host();
    let mut journal = open(&host);
    journal.begin(Uuid::from_u128(1), &Operation::NtpDelete).unwrap();
    journal.finish(&result(1)).unwrap();
    let before = host.text(PATH).unwrap().len();
    journal.begin(Uuid::from_u128(2), &Operation::NtpDelete).unwrap();
    let whole = host.text(PATH).unwrap();
    for length in before..whole.len() {
        host.write(PATH, &whole[..length]);
        let mut journal = open(&host);
        assert_eq!(journal.interrupted(), None, "{length}");
        assert_eq!(journal.unacknowledged(), vec![result(1)]);
        // What is added next must not be glued to the torn line.
        journal.begin(Uuid::from_u128(3), &Operation::NtpDelete).unwrap();
        assert_eq!(open(&host).interrupted().unwrap().job_id, Uuid::from_u128(3));
        assert!(!host.paths().contains(&PathBuf::from("/state/journal.damaged")));
    }
}

#[test]
fn a_damaged_middle_is_set_aside_and_the_rest_is_kept() {
    let host = host();
    let mut journal = open(&host);
    for job in 1..=3 {
        journal
            .begin(Uuid::from_u128(job), &Operation::NtpDelete)
            .unwrap();
        journal.finish(&result(job)).unwrap();
    }
    let whole = host.text(PATH).unwrap();
    let damaged: String = whole
        .lines()
        .enumerate()
        .map(|(i, line)| {
            if i == 3 {
                "garbage\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    host.write(PATH, &damaged);
    let journal = open(&host);
    assert_eq!(journal.unacknowledged(), vec![result(1), result(3)]);
    assert_eq!(host.text("/state/journal.damaged").unwrap(), damaged);
    assert!(open(&host).unacknowledged().len() == 2);
}

#[test]
fn the_journal_does_not_grow_for_ever_and_forgets_only_the_oldest() {
    let host = host();
    let mut journal = open(&host);
    let jobs = u128::try_from(REMEMBERED_MAX).unwrap() + 500;
    for job in 0..jobs {
        journal
            .begin(Uuid::from_u128(job), &Operation::NtpDelete)
            .unwrap();
        journal.finish(&result(job)).unwrap();
        journal.acknowledge(Uuid::from_u128(job)).unwrap();
    }
    assert!(host.text(PATH).unwrap().len() < crate::host::FILE_BYTES_MAX);
    let mut journal = open(&host);
    for job in [500, 5000, jobs - 1] {
        let begin = journal.begin(Uuid::from_u128(job), &Operation::NtpDelete);
        assert_eq!(begin.unwrap(), Begin::Known, "{job}");
    }
}
