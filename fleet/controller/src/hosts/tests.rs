//! Hosts without connections.

use bus::embedded::Embedded;

use super::admission::PENDING_MAX;
use super::*;
use crate::source::Source;

fn record(machine_id: &str) -> HostRecord {
    HostRecord {
        state: HostState::Ready,
        public_key: link::key::SigningKey::generate().unwrap().public(),
        requested_at: Timestamp::now(),
        registered_at: Some(Timestamp::now()),
        last_seen: None,
        facts: HostFacts {
            machine_id: machine_id.to_owned(),
            hostname: "web-01".to_owned(),
            ..HostFacts::default()
        },
        source: String::new(),
        rejection_dated: false,
    }
}

/// A store with hosts of these machine ids, opened.
async fn hosts(directory: &std::path::Path, machine_ids: &[&str]) -> Hosts {
    let bus: Arc<dyn Bus> = Arc::new(Embedded::open(&directory.join("store.db")).unwrap());
    for machine_id in machine_ids {
        bus.create(Bucket::HOSTS, machine_id, encode(&record(machine_id)).unwrap())
            .await
            .unwrap();
    }
    Hosts::open(bus, Duration::from_secs(10)).await.unwrap()
}

#[tokio::test]
async fn a_copied_host_shares_its_texts() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = hosts(directory.path(), &["m2", "m1"]).await;
    let shared = hosts.read(|hosts| {
        hosts
            .values()
            .all(|host| Arc::ptr_eq(&host.record, &host.clone().record))
    });
    assert!(shared);
    let listed: Vec<_> = hosts
        .list()
        .into_iter()
        .map(|host| host.machine_id.unwrap())
        .collect();
    assert_eq!(listed, ["m1", "m2"]);
}

fn source(text: &str) -> Source {
    Source::of(text.parse().unwrap())
}

/// A host of this machine id asks to join.
async fn ask(hosts: &Hosts, machine_id: &str, from: &str, enrolled: bool) -> Admission {
    let HostRecord {
        public_key, facts, ..
    } = record(machine_id);
    hosts
        .admit(public_key, facts, source(from), enrolled)
        .await
        .unwrap()
}

#[tokio::test]
async fn where_no_more_hosts_can_wait_the_address_with_the_most_gives_way() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = hosts(directory.path(), &[]).await;
    let begun = Timestamp::now();
    for n in 0..PENDING_MAX {
        let machine_id = format!("m{n:05}");
        let pending = HostRecord {
            state: HostState::Pending,
            requested_at: begun + Duration::from_secs(n as u64),
            source: source(if n < 10 { "198.51.100.1" } else { "2001:db8::1" }).to_string(),
            ..record(&machine_id)
        };
        let revision = hosts
            .bus
            .create(Bucket::HOSTS, &machine_id, encode(&pending).unwrap());
        // Only those that will give way need be in the store, which takes a while for each.
        let revision = if n + 3 > PENDING_MAX {
            revision.await.unwrap()
        } else {
            1
        };
        hosts.insert(&machine_id, pending, revision);
    }
    let out = ask(&hosts, "greedy", "2001:db8::ffff", false).await;
    assert!(
        matches!(&out, Admission::Out(reason) if reason.contains("no address has more of them than 2001:db8::/64")),
    );
    for newcomer in ["n1", "n2"] {
        assert!(matches!(
            ask(&hosts, newcomer, "192.0.2.1", false).await,
            Admission::In
        ));
    }
    // A token is worth as much as ever.
    assert!(matches!(
        ask(&hosts, "bearer", "2001:db8::1", true).await,
        Admission::In
    ));
    let waiting: Vec<String> = hosts.pending().into_iter().map(|host| host.machine_id).collect();
    assert_eq!(waiting.len(), PENDING_MAX);
    assert!(waiting.contains(&"n1".to_owned()) && waiting.contains(&"n2".to_owned()));
    assert!(waiting.contains(&"m00000".to_owned()) && waiting.contains(&"m09997".to_owned()));
    // The store agrees after a restart.
    let hosts = Hosts::open(Arc::clone(&hosts.bus), Duration::from_secs(10))
        .await
        .unwrap();
    let stored: Vec<String> = hosts.pending().into_iter().map(|host| host.machine_id).collect();
    assert_eq!(stored, ["n1", "n2"]);
    let kept = hosts.read(|hosts| hosts["n1"].record.source.clone());
    assert_eq!(kept, "192.0.2.1");
}

#[tokio::test]
async fn a_rejected_host_is_forgotten_when_the_store_does_not_remember_it() {
    assert_eq!(Bucket::REJECTED.ttl, Some(Duration::from_secs(7 * 24 * 60 * 60)));
    let directory = tempfile::tempdir().unwrap();
    let hosts = hosts(directory.path(), &[]).await;
    ask(&hosts, "m1", "192.0.2.1", false).await;
    hosts.reject("m1", "test").await.unwrap();
    let is_out = |hosts: &Hosts| {
        let standing = hosts.standing(&hosts.read(|hosts| hosts["m1"].record.public_key), "m1", false);
        matches!(standing, Standing::Out(reason) if reason.contains("this host was rejected"))
    };
    hosts.forget_rejected().await.unwrap();
    assert!(is_out(&hosts));
    // One that an older controller rejected, nobody knows when, has its days from now on.
    let machine_id = "m2";
    let older = HostRecord {
        state: HostState::Rejected,
        ..record(machine_id)
    };
    let revision = hosts
        .bus
        .create(Bucket::HOSTS, machine_id, encode(&older).unwrap())
        .await
        .unwrap();
    hosts.insert(machine_id, older, revision);
    hosts.forget_rejected().await.unwrap();
    hosts.forget_rejected().await.unwrap();
    assert!(hosts.find(machine_id).is_ok());
    // What the store does when the days are over.
    for machine_id in ["m1", "m2"] {
        hosts.bus.delete(Bucket::REJECTED, machine_id).await.unwrap();
    }
    hosts.forget_rejected().await.unwrap();
    let hosts = Hosts::open(Arc::clone(&hosts.bus), Duration::from_secs(10))
        .await
        .unwrap();
    assert!(hosts.find("m1").is_err() && hosts.find("m2").is_err());
    assert!(matches!(
        ask(&hosts, "m1", "192.0.2.1", false).await,
        Admission::In
    ));
    assert_eq!(hosts.pending().len(), 1);
}

#[tokio::test]
async fn a_report_is_as_old_as_it_is_however_often_its_host_connects() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = hosts(directory.path(), &["m1"]).await;
    let public_key = hosts.read(|hosts| hosts["m1"].record.public_key);
    let connect = || hosts.connected("m1", &public_key).unwrap();
    let well = HostReport {
        ntp: Some(model::ntp::NtpStatus {
            state: SyncState::Synchronized,
            error_bound_s: Some(0.001),
            ..Default::default()
        }),
        load: [9.0, 0.0, 0.0],
        ..HostReport::default()
    };
    let _first = connect();
    assert_eq!(hosts.find("m1").unwrap().reported_at, None);
    hosts.heard("m1", Some(Box::new(well)));
    let age = |hosts: &Hosts, seconds: u64| {
        hosts.write(|hosts| {
            let reported = hosts.get_mut("m1").unwrap().report.as_mut().unwrap();
            reported.at = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        });
    };
    let shown_age_s = |host: &AgentInfo| {
        let at: Timestamp = host.reported_at.as_ref().unwrap().parse().unwrap();
        Timestamp::now().duration_since(at).as_secs()
    };
    // Late, but in time. Another sign of life makes it no younger, and neither does another connection.
    age(&hosts, 20);
    hosts.heard("m1", None);
    let _second = connect();
    let host = hosts.find("m1").unwrap();
    assert_eq!(host.status, "Ready");
    assert!(host.ntp.is_some() && host.ntp_error.is_none() && !host.conditions.is_empty());
    assert!(shown_age_s(&host) >= 20);
    // Three heartbeats are over: nothing is claimed any more of a host that lives.
    age(&hosts, 31);
    let _third = connect();
    let host = hosts.find("m1").unwrap();
    assert_eq!((host.status.as_str(), &host.ntp), ("Ready", &None));
    assert!(
        host.ntp_error.as_ref().unwrap().contains("more than 30 s"),
        "{:?}",
        host.ntp_error
    );
    assert!(host.conditions.is_empty() && host.load_average.is_none());
    assert!(shown_age_s(&host) >= 31);
    // Of a host that is gone the last word is told, as old as it is.
    let (number, ..) = connect();
    hosts.disconnected("m1", number).await;
    let host = hosts.find("m1").unwrap();
    assert_eq!(host.status, "NotReady");
    assert_eq!(host.ntp.as_ref().unwrap().error_bound_s, Some(0.001));
    assert!(shown_age_s(&host) >= 31);
}

#[tokio::test]
async fn two_time_services_on_one_clock_are_a_condition() {
    let directory = tempfile::tempdir().unwrap();
    let bus: Arc<dyn Bus> = Arc::new(Embedded::open(&directory.path().join("store.db")).unwrap());
    let service = |name: &str, sets_clock| model::host::RunningService {
        name: name.to_owned(),
        sets_clock,
    };
    for (machine_id, second_sets_clock) in [("m1", true), ("m2", false)] {
        let mut record = record(machine_id);
        record.facts.hostname = machine_id.to_owned();
        record.facts.time_services = vec![
            service("ntpd", true),
            service("systemd-timesyncd", second_sets_clock),
        ];
        bus.create(Bucket::HOSTS, machine_id, encode(&record).unwrap())
            .await
            .unwrap();
    }
    let hosts = Hosts::open(bus, Duration::from_secs(10)).await.unwrap();
    let conditions = |machine_id: &str, conflict: Option<Option<&str>>| {
        let ntp = conflict.map(|conflict| model::ntp::NtpStatus {
            state: SyncState::Synchronized,
            conflict: conflict.map(str::to_owned),
            ..model::ntp::NtpStatus::default()
        });
        let report = HostReport {
            ntp,
            ..HostReport::default()
        };
        hosts.heard(machine_id, Some(Box::new(report)));
        let host = hosts.find(machine_id).unwrap();
        assert_eq!(host.time_services.len(), 2);
        let told = host.conditions.into_iter();
        told.map(|condition| (condition.kind, condition.reason.unwrap()))
            .collect::<Vec<_>>()
    };
    let is = |reason: &str| [("TimeServiceConflict".to_owned(), reason.to_owned())];
    let of_facts = "several time services set the clock: ntpd, systemd-timesyncd; end all but one";
    assert_eq!(conditions("m1", None), is(of_facts));
    assert_eq!(conditions("m2", None), []);
    // What a status says is newer than the facts, which are looked at every minute.
    assert_eq!(conditions("m1", Some(None)), []);
    assert_eq!(conditions("m2", Some(Some("two of them"))), is("two of them"));
}

#[tokio::test]
async fn what_is_wrong_with_a_host_is_said_with_since_when_until_it_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = hosts(directory.path(), &["m1"]).await;
    let report = |state: SyncState, drift: Option<&str>, load: f64, free: u64| {
        let drift = drift.map(|detail| model::ntp::Drift {
            kind: model::ntp::DriftKind::Edited,
            detail: detail.to_owned(),
        });
        Box::new(HostReport {
            ntp: Some(model::ntp::NtpStatus {
                state,
                drift,
                ..Default::default()
            }),
            load: [load, 0.0, 0.0],
            memory_bytes: [1000, free, 1000 - free],
            ..HostReport::default()
        })
    };
    let hear = |report: Box<HostReport>| -> Vec<(String, String, String)> {
        hosts.heard("m1", Some(report));
        let conditions = hosts.find("m1").unwrap().conditions;
        assert!(conditions.iter().all(|condition| condition.status));
        conditions
            .into_iter()
            .map(|c| (c.kind, c.reason.unwrap(), c.last_transition_time))
            .collect()
    };
    // At the bounds nothing is wrong: twice as much load as processors, a tenth of the memory free.
    assert_eq!(hear(report(SyncState::Synchronized, None, 2.0, 100)), []);
    let all = hear(report(
        SyncState::Unsynchronized,
        Some("a line was added"),
        2.01,
        99,
    ));
    let told: Vec<(&str, &str)> = all
        .iter()
        .map(|(kind, reason, _)| (kind.as_str(), reason.as_str()))
        .collect();
    let wanted = [
        ("ClockNotSynchronized", "the clock follows no source"),
        ("ConfigDrift", "a line was added"),
        ("HighLoad", "load 2.01 on 1 processors"),
        ("MemoryPressure", "99 of 1000 bytes are free"),
    ];
    assert_eq!(told, wanted);
    let later = hear(report(
        SyncState::FreeRunning,
        Some("a line was added"),
        2.01,
        100,
    ));
    assert_eq!(later[0].0, "ClockFreeRunning");
    assert_eq!(
        later[1..],
        all[1..3],
        "those that still hold began when they began"
    );
    assert_eq!(hear(report(SyncState::Synchronized, None, 0.0, 500)), []);
}

#[tokio::test]
async fn who_only_asks_to_join_pushes_no_event_out() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = hosts(directory.path(), &[]).await;
    let events = async |machine_id: &str| -> Vec<(String, String)> {
        let timeline = hosts.timeline(machine_id).await.unwrap();
        timeline
            .into_iter()
            .map(|event| (event.event, event.timestamp))
            .collect()
    };
    ask(&hosts, "m1", "198.51.100.1", false).await;
    ask(&hosts, "m2", "198.51.100.1", false).await;
    let stored = hosts.bus.page(Log::EVENTS, 0, 1).await.unwrap();
    assert_eq!(stored.total, 0, "what strangers do is not in the log");
    let asked = events("m1").await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].0, "request");

    hosts.accept("m1", None, "admin").await.unwrap();
    hosts.reject("m2", "admin").await.unwrap();
    let accepted = events("m1").await;
    assert_eq!(accepted[0], asked[0], "when it asked is remembered");
    let names =
        |events: &[(String, String)]| events.iter().map(|(event, _)| event.clone()).collect::<Vec<_>>();
    assert_eq!(names(&accepted), ["request", "accept"]);
    assert_eq!(names(&events("m2").await), ["request", "reject"]);
}
