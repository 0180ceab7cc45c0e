//! Jobs at their bounds.

use bus::embedded::Embedded;
use model::host::{HostFacts, HostState};

use super::*;
use crate::hosts::HostRecord;

/// Jobs over a store in which so many hosts are accepted, none of them connected.
async fn jobs(directory: &std::path::Path, hosts: usize) -> Arc<Jobs> {
    let bus: Arc<dyn Bus> = Arc::new(Embedded::open(&directory.join("store.db")).unwrap());
    let public_key = SigningKey::generate().unwrap().public();
    let writes = (0..hosts).map(|n| {
        let record = HostRecord {
            state: HostState::Ready,
            public_key,
            requested_at: Timestamp::now(),
            registered_at: None,
            last_seen: None,
            facts: HostFacts {
                machine_id: format!("{n:032}"),
                hostname: format!("node-{n:05}.example.com"),
                ..HostFacts::default()
            },
            source: String::new(),
            rejection_dated: false,
        };
        let (bus, key) = (Arc::clone(&bus), format!("{n:032}"));
        async move {
            bus.create(Bucket::HOSTS, &key, encode(&record).unwrap())
                .await
                .unwrap()
        }
    });
    futures::stream::iter(writes)
        .buffer_unordered(WRITES_AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let hosts = Arc::new(
        Hosts::open(Arc::clone(&bus), Duration::from_secs(10))
            .await
            .unwrap(),
    );
    let key = Arc::new(SigningKey::generate().unwrap());
    let clock = ControllerClock::starting_at(0);
    Jobs::open(bus, hosts, Uuid::nil(), key, clock, Duration::from_secs(1))
        .await
        .unwrap()
}

fn asked() -> Asked {
    Asked {
        user: "admin".to_owned(),
        target: Target::All,
        operation: Operation::NtpGet,
        timeout: None,
        retry_of: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_more_hosts_than_a_record_holds_is_refused_before_anything_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = jobs(directory.path(), 20_000).await;
    let error = jobs.submit(asked()).await.unwrap_err();
    assert!(
        matches!(error, SubmitError::TooManyHosts { hosts: 20_000, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("nothing was sent"), "{error}");
    assert_eq!(jobs.counts().total, 0);
}

/// The largest job of this operation for hosts with names of this many characters.
fn most_hosts(operation: &Operation, name_length: usize) -> usize {
    let fits = |hosts: usize| {
        let expected = (0..hosts)
            .map(|n| (format!("{n:032}"), format!("{n:0name_length$}")))
            .collect();
        let job = Job {
            id: Uuid::nil(),
            created: Timestamp::now(),
            target: Target::All,
            operation: operation.clone(),
            user: "admin".to_owned(),
            timeout_ms: 30_000,
            expected,
            retry_of: None,
        };
        encode(&JobRecord { job, ended: None }).unwrap().len() <= RECORD_BYTES_MAX
    };
    let (mut least, mut beyond) = (0, 50_000);
    while beyond - least > 1 {
        let middle = usize::midpoint(least, beyond);
        if fits(middle) {
            least = middle;
        } else {
            beyond = middle;
        }
    }
    least
}

#[test]
fn the_operators_guide_says_how_many_hosts_a_job_can_have() {
    let guide = include_str!("../../../../docs/operating.md");
    let names = ["ntp1.example.com", "ntp2.example.com", "ntp3.example.com"];
    let servers = model::Servers::new(names.map(|name| name.parse().unwrap()).to_vec()).unwrap();
    let update = Operation::NtpUpdate(servers);
    let hosts = [10, 20, 40, 253].map(|length| most_hosts(&update, length) / 100 * 100);
    let said = format!(
        "{} hosts with names of 10 characters, {} of 20, {} of 40, {} of 253",
        hosts[0], hosts[1], hosts[2], hosts[3]
    );
    assert!(guide.contains(&said), "docs/operating.md should say: {said}");
}

/// Submits a job and waits until its end is stored.
async fn ended(jobs: &Arc<Jobs>, operation: Operation) -> Uuid {
    let asked = Asked { operation, ..asked() };
    let mut submitted = jobs.submit(asked).await.unwrap();
    while submitted.answers.recv().await.is_some() {}
    let id = submitted.job.id;
    while jobs.lock()[&id].ended != Some(JobState::Failed) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_forgotten_beside_a_new_job_and_only_of_its_kind() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = jobs(directory.path(), 1).await;
    let (read, change) = (Operation::NtpGet, Operation::NtpDelete);
    let oldest_change = ended(&jobs, change.clone()).await;
    let read_before = ended(&jobs, read.clone()).await;
    let change_before = ended(&jobs, change.clone()).await;
    // As if they had been asked of as many hosts as may be remembered.
    let ask = |id: Uuid, asked: usize| jobs.lock().get_mut(&id).unwrap().asked = asked;
    ask(read_before, READS_MAX.answers);
    ask(oldest_change, CHANGES_MAX.answers - 1);
    let is_there = async |id: Uuid| jobs.stored(id).await.unwrap().is_some();
    let read_after = ended(&jobs, read).await;
    while jobs.lock().contains_key(&read_before) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!is_there(read_before).await && is_there(read_after).await);
    assert!(is_there(oldest_change).await && is_there(change_before).await);
    let change_after = ended(&jobs, change).await;
    while jobs.lock().contains_key(&oldest_change) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!is_there(oldest_change).await && is_there(change_before).await && is_there(change_after).await);
    assert!(is_there(read_after).await);
}

#[test]
fn the_number_of_jobs_is_bounded_by_kind_and_the_operators_guide_says_so() {
    let guide = include_str!("../../../../docs/operating.md");
    let said = |max: Bounds| {
        let thousands = |n: usize| format!("{},{:03}", n / 1000, n % 1000);
        format!("{} with {} answers", thousands(max.jobs), thousands(max.answers))
    };
    for max in [CHANGES_MAX, READS_MAX] {
        assert!(
            guide.contains(&said(max)),
            "docs/operating.md should say: {}",
            said(max)
        );
        assert!(unknown(&Uuid::nil()).contains(&format!("{} with {} answers", max.jobs, max.answers)));
    }
}
