//! Who is asked when, and whose answers count, played from the outside.

use conf::config::{Config, Constraint, ConstraintUrl, SourceConfig, SourceKind};
use units::{Mono, UnixTime};

use super::{ConstraintReport, Constraints};
use crate::Once;
use crate::io::{ConstraintError, ConstraintReply, Input, Now, Severity};
use crate::stage::{Server, Stage, answering, config, line, server, well};

fn constraint(url: &str, addresses: &[&str]) -> Constraint {
    Constraint {
        url: ConstraintUrl::parse(url).unwrap(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        is_pool: false,
    }
}

fn pool(name: &str) -> Constraint {
    Constraint {
        is_pool: true,
        ..constraint(name, &[])
    }
}

fn bounded(sources: Vec<SourceConfig>, from: Vec<Constraint>) -> Config {
    let mut config = config(sources);
    config.constraints.from = from;
    config
}

fn trusted(name: &str) -> SourceConfig {
    line(SourceKind::Server, name, |line| line.select.trust = true)
}

/// A server whose clock is ahead by so much.
fn ahead(by_s: f64) -> Server {
    answering(move |_, mut answer| {
        answer.receive_time = shifted(answer.receive_time, by_s);
        answer.transmit_time = shifted(answer.transmit_time, by_s);
        answer.reference_time = shifted(answer.reference_time, by_s);
        vec![answer]
    })
}

fn shifted(timestamp: units::NtpTimestamp, by_s: f64) -> units::NtpTimestamp {
    let near = UnixTime::from_seconds(crate::stage::BEGIN_S);
    UnixTime::from_ntp(timestamp, near).plus_seconds(by_s).to_ntp()
}

impl Stage {
    /// The oldest request to a constraint is answered: the system clock is behind by so much.
    fn constraint_says(&mut self, offset_s: f64) -> String {
        let (_, request, asked, _) = self.constraints.remove(0);
        let now = self.now();
        let answer = Ok(ConstraintReply {
            date: now.wall.plus_seconds(offset_s),
            at: now,
            remark: None,
        });
        self.tell(Input::Constraint { request, answer });
        asked
    }

    /// The oldest request fails.
    fn constraint_fails(&mut self, is_unproven: bool) -> String {
        let (_, request, asked, _) = self.constraints.remove(0);
        let answer = Err(ConstraintError {
            text: format!("tls connect failed: {asked}"),
            is_unproven,
        });
        self.tell(Input::Constraint { request, answer });
        asked
    }

    fn report(&self) -> ConstraintReport {
        self.engine.constraint_report(self.now()).unwrap()
    }

    /// When requests were sent, whole seconds.
    fn asked_at(&self) -> Vec<i64> {
        let times = self.requests.iter().map(|request| request.at_s);
        times.map(units::rounding::nearest_i64).collect()
    }

    /// How often this was logged, however little it matters.
    fn logged(&self, severity: Severity, line: &str) -> usize {
        let wanted = (severity, line.to_owned());
        let lines = self
            .log
            .iter()
            .map(|(_, severity, text)| (*severity, text.clone()));
        lines.filter(|line| *line == wanted).count()
    }
}

#[test]
fn sources_that_are_not_trusted_wait_for_a_constraint() {
    let sources = vec![server("192.0.2.1"), trusted("192.0.2.2")];
    let from = vec![constraint("https://a:8443/b", &["198.51.100.1"])];
    let mut stage = Stage::new(bounded(sources, from), well());
    stage.run_until(400.0);
    assert!(stage.requests.len() > 4);
    assert!(
        stage
            .requests
            .iter()
            .all(|request| request.to.ip().to_string() == "192.0.2.2")
    );
    assert_eq!(stage.report().offset_s, None);
    // It is the first time, and the trusted source has made the clock good for certificates meanwhile.
    let known: Vec<bool> = stage.constraints.iter().map(|asked| asked.3).collect();
    assert_eq!(known, [false, true]);
    stage.constraints.remove(0);
    stage.requests.clear();
    assert_eq!(stage.constraint_says(-1.25), "198.51.100.1:8443 https://a:8443/b");
    let said = "constraint reply from 198.51.100.1: offset -1.250000";
    assert_eq!(stage.logged(Severity::Info, said), 1);
    assert_eq!(stage.report().offset_s, Some(-1.25));
    stage.run_until(402.0);
    assert!(
        stage
            .requests
            .iter()
            .any(|request| request.to.ip().to_string() == "192.0.2.1")
    );
}

#[test]
fn an_answer_too_far_from_the_constraint_is_refused_and_one_near_enough_is_not() {
    for (by_s, is_refused) in [(121.0, true), (119.0, false), (-119.0, false), (-121.0, true)] {
        let from = vec![constraint("a", &["198.51.100.1"])];
        let mut stage = Stage::new(bounded(vec![server("192.0.2.1")], from), ahead(by_s));
        stage.constraint_says(0.0);
        stage.run_until(2900.0);
        let refused = stage.said("reply from 192.0.2.1: constraint check failed");
        assert_eq!(refused == 1, is_refused, "{by_s}");
        assert_eq!(stage.requests.len() == 1, is_refused, "{by_s}");
        assert_eq!(stage.source().estimator.count() == 0, is_refused, "{by_s}");
        stage.run_until(3310.0);
        if is_refused {
            assert_eq!(stage.requests.len(), 2);
            assert!((3000..3302).contains(&stage.asked_at()[1]));
        }
    }
}

#[test]
fn who_is_trusted_is_never_refused() {
    let from = vec![constraint("a", &["198.51.100.1"])];
    let mut stage = Stage::new(bounded(vec![trusted("192.0.2.1")], from), ahead(5000.0));
    stage.constraint_says(0.0);
    stage.run_until(300.0);
    assert_eq!(stage.said("constraint check failed"), 0);
    assert!(stage.source().estimator.count() > 2);
}

#[test]
fn the_median_of_all_counts_and_only_once_all_were_asked() {
    let from = ["198.51.100.1", "198.51.100.2", "198.51.100.3"].map(|address| constraint(address, &[]));
    let mut stage = Stage::new(bounded(vec![server("192.0.2.1")], from.to_vec()), well());
    stage.constraint_says(86_400.0);
    stage.run_until(10.0);
    assert_eq!((stage.report().offset_s, stage.requests.len()), (None, 0));
    stage.constraint_says(-1.0);
    stage.constraint_says(-0.5);
    assert_eq!(stage.report().offset_s, Some(-0.5));
    stage.run_until(100.0);
    assert!(!stage.requests.is_empty());
    assert_eq!(stage.said("constraint check failed"), 0);
}

#[test]
fn of_two_the_median_is_the_mean() {
    let from = ["198.51.100.1", "198.51.100.2"].map(|address| constraint(address, &[]));
    let mut stage = Stage::new(bounded(vec![server("192.0.2.1")], from.to_vec()), well());
    stage.constraint_says(-1.0);
    stage.constraint_says(0.0);
    assert_eq!(stage.report().offset_s, Some(-0.5));
}

#[test]
fn a_constraint_that_does_not_answer_is_asked_again_after_a_quarter_of_an_hour() {
    let from = vec![constraint("a", &["2001:db8::1", "198.51.100.1"])];
    let mut stage = Stage::new(bounded(vec![server("192.0.2.1")], from), well());
    assert_eq!(stage.constraint_fails(false), "[2001:db8::1]:443 https://a/");
    assert_eq!(
        stage.logged(Severity::Error, "constraints configured but none available"),
        0
    );
    assert_eq!(stage.constraint_fails(false), "198.51.100.1:443 https://a/");
    let retry = "no constraint reply from 198.51.100.1 received in time, next query 900s";
    assert_eq!(stage.logged(Severity::Debug, retry), 1);
    assert_eq!(
        stage.logged(Severity::Error, "constraints configured but none available"),
        1
    );
    stage.run_until(899.0);
    assert_eq!(stage.constraints.len(), 0);
    stage.run_until(901.0);
    assert_eq!(stage.constraints.len(), 1);
    // The same reasons are not said aloud again.
    stage.constraint_fails(false);
    stage.constraint_fails(false);
    assert_eq!(stage.said("tls connect failed"), 2);
    assert_eq!(
        stage.logged(Severity::Error, "constraints configured but none available"),
        2
    );
    stage.run_until(1802.0);
    stage.constraint_says(0.0);
    assert_eq!(stage.report().offset_s, Some(0.0));
    assert_eq!(stage.requests.len(), 0);
    stage.run_until(1803.0);
    assert_eq!(stage.requests.len(), 1);
}

#[test]
fn a_name_is_looked_up_until_it_has_addresses_and_each_of_a_pool_is_a_constraint() {
    let mut stage = Stage::new(
        bounded(vec![server("192.0.2.1")], vec![pool("a.example")]),
        well(),
    );
    for at_s in [0.0, 1.0, 2.0, 3.0, 4.0, 19.0, 34.0] {
        stage.run_until(at_s + 0.1);
        assert_eq!(stage.lookups.len(), 1, "{at_s}");
        assert_eq!(stage.resolve(&[]), "a.example");
    }
    assert_eq!(
        stage.logged(Severity::Error, "constraints configured but none available"),
        1
    );
    stage.run_until(50.0);
    stage.resolve(&["2001:db8::1", "198.51.100.1", "198.51.100.2"]);
    let asked: Vec<&str> = stage.constraints.iter().map(|asked| asked.2.as_str()).collect();
    assert_eq!(
        asked,
        [
            "[2001:db8::1]:443 https://a.example/",
            "198.51.100.1:443 https://a.example/",
            "198.51.100.2:443 https://a.example/"
        ]
    );
    stage.constraint_fails(false);
    stage.constraint_says(2.0);
    stage.constraint_says(4.0);
    assert_eq!(stage.report().offset_s, Some(3.0));
    // Only the one that did not answer is asked again.
    stage.run_until(1000.0);
    let again: Vec<&str> = stage.constraints.iter().map(|asked| asked.2.as_str()).collect();
    assert_eq!(again[0], "[2001:db8::1]:443 https://a.example/");
}

#[test]
fn a_constraint_that_fails_while_its_name_cannot_be_looked_up_is_asked_where_it_was() {
    let sources = vec![trusted("192.0.2.1")];
    let mut stage = Stage::new(bounded(sources, vec![constraint("a.example", &[])]), well());
    stage.resolve(&["198.51.100.1"]);
    stage.constraint_fails(false);
    // Now the clock is right, and all are asked once more; but the name server has gone.
    stage.run_until(800.0);
    assert_eq!(stage.lookups.len(), 1);
    // What failed at first is due again meanwhile, and later that it cannot be looked up.
    stage.run_until(1000.0);
    assert_eq!((stage.lookups.len(), stage.constraints.len()), (1, 1));
    stage.constraint_fails(false);
    stage.run_until(1890.0);
    stage.resolve(&[]);
    for at_s in [1892.0, 1894.0, 1896.0, 1898.0] {
        stage.run_until(at_s);
        stage.resolve(&[]);
    }
    stage.run_until(1905.0);
    assert_eq!((stage.lookups.len(), stage.constraints.len()), (0, 1));
    assert_eq!(stage.constraint_says(0.0), "198.51.100.1:443 https://a.example/");
}

#[test]
fn constraints_that_all_contradict_are_asked_again_and_then_who_was_refused() {
    let sources = vec![server("192.0.2.1"), server("192.0.2.2")];
    let mut stage = Stage::new(bounded(sources, vec![constraint("198.51.100.1", &[])]), well());
    stage.constraint_says(-500.0);
    stage.run_until(3.0 * 3300.0);
    assert!(stage.report().refused <= 8);
    assert_eq!(stage.constraints.len(), 0);
    stage.run_until(5.0 * 3300.0);
    assert_eq!(stage.constraints.len(), 1, "the ninth");
    assert_eq!(stage.said("Constraints are asked again"), 1);
    stage.requests.clear();
    stage.constraint_says(0.0);
    stage.run_until(5.0 * 3300.0 + 2.0);
    assert_eq!(stage.requests.len(), 2);
}

#[test]
fn who_fails_the_check_by_a_synchronised_clock_does_not_count_any_more() {
    let from = ["198.51.100.1", "198.51.100.2"].map(|address| constraint(address, &[]));
    let mut stage = Stage::new(bounded(vec![server("192.0.2.1")], from.to_vec()), well());
    stage.constraint_says(-100.0);
    stage.constraint_says(0.0);
    stage.run_until(400.0);
    let known: Vec<bool> = stage.constraints.iter().map(|asked| asked.3).collect();
    assert_eq!(known, [true, true]);
    // Until they have answered, what they said before holds.
    assert_eq!(stage.report().offset_s, Some(-50.0));
    stage.constraint_fails(true);
    stage.constraint_fails(false);
    assert_eq!(stage.report().offset_s, Some(0.0));
    stage.run_until(1310.0);
    stage.constraint_says(0.0);
    stage.constraint_says(0.0);
    stage.constraints.clear();
    // What was proven once stays, whoever answers next.
    stage.engine.fetch_constraints(stage.now());
    stage.run_until(2500.0);
    stage.constraint_fails(true);
    stage.constraint_fails(true);
    assert_eq!(stage.report().offset_s, Some(0.0));
}

#[test]
fn a_clock_that_is_synchronised_now_and_then_does_not_have_constraints_asked_all_the_time() {
    let mut constraints = Constraints::new(&[constraint("198.51.100.1", &[])]);
    let mut asked = Vec::new();
    for at_s in 0..2000 {
        let now = Mono::ZERO.plus_seconds(f64::from(at_s));
        if constraints.observe(at_s % 10 > 4, now) {
            asked.push(at_s);
        }
    }
    assert_eq!(asked, [5, 905, 1805]);
}

#[test]
fn time_goes_on_while_the_host_sleeps() {
    let mut stage = Stage::new(
        bounded(vec![server("192.0.2.1")], vec![constraint("198.51.100.1", &[])]),
        well(),
    );
    stage.constraint_says(0.0);
    let now = stage.now();
    let later = Now {
        wall: now.wall.plus_seconds(3600.0),
        slept_ns: 3_600_000_000_000,
        ..now
    };
    assert_eq!(stage.engine.constraint_report(later).unwrap().offset_s, Some(0.0));
}

#[test]
fn who_measures_once_does_not_wait_for_ever() {
    let config = || bounded(vec![server("192.0.2.1")], vec![constraint("198.51.100.1", &[])]);
    let mut stage = Stage::with(config(), well(), |options| options.once = Some(Once::Log));
    stage.constraint_fails(false);
    assert_eq!(stage.ended, Some(1));
    let mut stage = Stage::with(config(), ahead(500.0), |options| options.once = Some(Once::Log));
    stage.constraint_says(0.0);
    assert_eq!(stage.ended, None);
    stage.run_until(2.0);
    assert_eq!(stage.ended, Some(1));
    assert_eq!(stage.said("No suitable source for synchronisation"), 1);
}

#[test]
fn who_measures_once_says_step_of_a_step_only() {
    for (observe, once, done) in [
        (false, Once::Set, "step"),
        (true, Once::Set, "ignored"),
        (true, Once::Log, "ignored"),
    ] {
        let mut stage = Stage::with(config(vec![server("192.0.2.1")]), well(), |options| {
            options.once = Some(once);
            options.observe = observe;
        });
        stage.run_until(1000.0);
        assert_eq!(stage.ended, Some(0), "{once:?}");
        assert_eq!(stage.said("System clock wrong by"), 1);
        assert_eq!(
            stage.said(&format!("seconds ({done})")),
            1,
            "{observe} {:?}",
            stage.log
        );
    }
}

#[test]
fn without_constraints_there_is_nothing_to_report() {
    let stage = Stage::new(config(vec![server("192.0.2.1")]), well());
    assert_eq!(stage.engine.constraint_report(stage.now()), None);
}

#[test]
fn of_a_configuration_that_is_read_again_those_are_asked_that_are_new() {
    let [first, second, third] =
        ["198.51.100.1", "198.51.100.2", "198.51.100.3"].map(|address| constraint(address, &[]));
    let with = |from: &[&Constraint]| {
        bounded(
            vec![server("192.0.2.1")],
            from.iter().map(|&constraint| constraint.clone()).collect(),
        )
    };
    let read_again = |stage: &mut Stage, from: &[&Constraint]| {
        stage.tell(Input::Configuration(Box::new(with(from))));
        stage.constraints.len()
    };
    let mut stage = Stage::new(with(&[&first]), well());
    assert_eq!(read_again(&mut stage, &[&first]), 1, "it is being asked already");
    stage.constraint_says(0.0);
    assert_eq!(read_again(&mut stage, &[&first, &second]), 1);
    assert!(stage.constraint_says(100.0).contains("198.51.100.2"));
    assert_eq!(stage.report().offset_s, Some(50.0));
    // What it said holds, whatever becomes of others.
    assert_eq!(read_again(&mut stage, &[&second]), 0);
    assert_eq!(stage.report().offset_s, Some(100.0));
    stage.run_until(30.0);
    let asked = stage.requests.len();
    assert!(asked > 0);
    assert_eq!(read_again(&mut stage, &[&third]), 1);
    // The last of those who have answered is gone; that holds until the new one has said something, or will not.
    assert_eq!(stage.report().offset_s, Some(100.0));
    stage.constraint_fails(false);
    assert_eq!(stage.report().offset_s, None);
    stage.run_until(4000.0);
    assert_eq!(
        stage.requests.len(),
        asked,
        "nobody is asked who is not known to be right"
    );
    assert!(read_again(&mut stage, &[]) > 0);
    assert_eq!(stage.engine.constraint_report(stage.now()), None);
    stage.run_until(4030.0);
    assert!(stage.requests.len() > asked);
    // Who is asked no longer is not listened to.
    stage.constraint_says(7.0);
    assert_eq!(stage.engine.constraint_report(stage.now()), None);
}
