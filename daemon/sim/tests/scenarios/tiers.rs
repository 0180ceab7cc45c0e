//! Tiers of ntpd: boundary servers proxy the time of a few official ones, and pods follow whatever boundary servers the
//! private zone names. All have the files of those who built it so, with their blanks filled in.

use std::collections::BTreeMap;

use conf::dialect::Dialect;
use sim::*;

/// When the pod starts, seconds.
const START_S: f64 = 300.0;

/// The name servers' answers come from here on, seconds.
const CHANGE_S: f64 = 1800.0;

/// One of the files. What is an address there has a name here.
fn file(text: &str) -> Client {
    let text = text
        .replace("169.254.169.123", "cloud")
        .replace("10.20.0.0 mask", "10.0.0.0 mask");
    Client::reading(Dialect::Ntpd, &text)
}

fn boundary() -> Client {
    file(include_str!("../../../conf/tests/ntp/server-filled.conf"))
}

fn pod() -> Client {
    file(include_str!("../../../conf/tests/ntp/client-filled.conf")).starting_at(START_S)
}

/// Two zones have a boundary server; the pod knows seven names.
fn tiers(pod: Client) -> Scenario {
    tiers_with(boundary(), pod)
}

/// Likewise; the boundary server of the first zone is this one.
fn tiers_with(first: Client, pod: Client) -> Scenario {
    let official = ["us-west-2b.stratum-2.invalid", "us-west-2c.stratum-2.invalid"];
    let mut scenario = Scenario::of_hours(1.25)
        // It has a long way to its own source.
        .server(
            "cloud",
            Server::ideal().stratum(3).distance(millis(10.0), millis(2.0)),
        )
        .server(official[0], Server::ideal().stratum(2))
        .server(official[1], Server::ideal().stratum(2))
        .pool("ntp.az-a.pod", &["first"])
        .pool("ntp.az-b.pod", &["second"])
        .client(pod)
        .path("cloud", Path::lan());
    for (name, boundary) in [("first", first), ("second", boundary()), ("third", boundary())] {
        scenario = scenario
            .client_named(name, boundary)
            .path(name, Path::lan())
            .path_between(name, "cloud", Path::lan())
            .path_between(name, official[0], Path::lan())
            .path_between(name, official[1], Path::lan());
    }
    scenario
}

/// What `ntpq` shows of sources, in the order of the file.
fn shown(look: &Look, variable: &str) -> Vec<String> {
    let of_source = |source: &BTreeMap<String, String>| source.get(variable).cloned().unwrap_or_default();
    look.sources.iter().map(of_source).collect()
}

/// Expects something of what `ntpq` shows whenever somebody looks.
fn each_look(what: &str, is_so: impl Fn(&Look) -> bool + Send + Sync + 'static) -> Expectation {
    measured_exactly(what, 0.0, move |record| {
        assert!(!record.looks.is_empty(), "ntpq got no answer");
        let others = record.looks.iter().filter(|look| !is_so(look));
        let others: Vec<&Look> = others.collect();
        if let Some(look) = others.first() {
            eprintln!("{look:?}");
        }
        f64::from(u32::try_from(others.len()).unwrap_or(u32::MAX))
    })
}

#[test]
fn pods_are_one_stratum_below_the_boundary_servers() {
    tiers(pod().ntpq(2400.0).ntpq(4499.0))
        .expect(each_look("strata", |look| {
            let strata = shown(look, "stratum");
            look.system.get("stratum").map(String::as_str) == Some("4") && strata[..3] == ["3", "3", "3"]
        }))
        .expect(each_look("reach of those who are there", |look| {
            shown(look, "reach")[..3] == ["0xff", "0xff", "0xff"]
        }))
        .expect(offset_below(millis(2.0)).within(minutes(10.0)))
        .check(10);
}

#[test]
fn a_pod_is_confident_within_seconds() {
    let wrong = pod().tuned(|clock| clock.off_by(5.0));
    tiers(wrong.ntpq(START_S + 8.0))
        .expect(each_look("synchronised 8 s after the start", |look| {
            look.system.get("leap").map(String::as_str) == Some("0")
        }))
        .expect(steps(1))
        .expect(offset_below(millis(10.0)).within(START_S + 8.0))
        .check(20);
}

#[test]
fn init_and_step_are_gone_at_the_next_answer() {
    // One step at the start, and one after somebody has moved the clock.
    let mut wrong = pod().tuned(|clock| clock.off_by(5.0)).step_at(1200.0, 3.0);
    for at_s in [8.0, 9.0, 10.0, 20.0, 60.0, 2400.0] {
        wrong = wrong.ntpq(START_S + at_s);
    }
    tiers(wrong)
        .expect(steps(2))
        .expect(each_look("refids", |look| {
            let refids = shown(look, "refid");
            refids[..3]
                .iter()
                .all(|refid| !["INIT", "STEP", ""].contains(&refid.as_str()))
        }))
        .check(20);
}

#[test]
fn a_name_without_an_address_costs_nothing_until_it_has_one() {
    tiers(pod().ntpq(START_S + 60.0).ntpq(3599.0))
        .pool_from(CHANGE_S, "ntp.az-c.pod", &["third"])
        .expect(each_look("names without addresses", |look| {
            let is_early = look.at_s < CHANGE_S;
            let refids = shown(look, "refid");
            let heard = if is_early { 3 } else { 4 };
            refids[..heard]
                .iter()
                .all(|refid| refid != "DNS" && refid != "INIT")
                && refids[heard..].iter().all(|refid| refid == "DNS")
        }))
        .expect(offset_below(millis(10.0)).within(START_S + 10.0))
        .check(10);
}

#[test]
fn a_name_that_moved_is_followed() {
    // The servers, the pod and two boundary servers have the numbers before it.
    let third = World::address(6).to_string();
    let first = boundary().act_at(CHANGE_S, Act::Terminate);
    tiers_with(first, pod().ntpq(CHANGE_S - 1.0).ntpq(CHANGE_S + 2400.0))
        .pool_from(CHANGE_S, "ntp.az-a.pod", &["third"])
        .expect(each_look("the new address", move |look| {
            (shown(look, "srcadr")[1] == third) == (look.at_s > CHANGE_S)
        }))
        .expect(offset_below(millis(5.0)).within(minutes(10.0)))
        .check(10);
}
