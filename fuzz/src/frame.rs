//! Frames between agent and controller: what is read, written and read again is the same, and numbers of a lying
//! agent come within bounds.

use link::Frame;
use link::order::{Audience, Order, OrderError, SignedOrder};
use model::{HostResult, Labels, Operation};
use serde_json::Value;

use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "frame",
    check,
    seeds,
    words: dictionary,
};

fn check(bytes: &[u8]) {
    if let Ok(frame) = serde_json::from_slice::<Frame>(bytes) {
        check_frame(&frame);
    }
    if let Ok(order) = serde_json::from_slice::<Order>(bytes) {
        let _ = order.audience.includes("m", &Labels::default());
        assert_eq!(again(&order), order);
    }
}

fn check_frame(frame: &Frame) {
    let text = serde_json::to_string(frame).expect("a frame can be written");
    let read: Frame = serde_json::from_str(&text).expect("what was written can be read");
    check_same(&read, frame);
    match frame.clone() {
        Frame::Job(order) => check_order(&order),
        Frame::Report(report) => {
            let report = report.plausible();
            check_same(&again(&report).plausible(), &report);
        }
        Frame::Result(result) => {
            let result: HostResult = result.plausible();
            check_same(&again(&result).plausible(), &result);
        }
        Frame::Facts(facts) => {
            let facts = facts.plausible();
            check_same(&again(&facts).plausible(), &facts);
        }
        Frame::Hello(hello) => {
            let challenge = link::frame::Challenge {
                version: link::frame::VERSION,
                controller_id: Default::default(),
                nonce: "00".to_owned(),
            };
            assert!(!hello.is_proved(&challenge, &[0; 32]), "nobody has signed this");
        }
        _ => {}
    }
}

/// An order that nobody signed is never opened.
fn check_order(order: &SignedOrder) {
    let key = serde_json::from_str(KEY).expect("a key");
    let opened = order.open(&key, Default::default(), "m", &Labels::default(), 0);
    assert_eq!(opened, Err(OrderError::Signature));
    let _ = order.claimed_id();
}

/// A public key of which nobody has the other half.
const KEY: &str = "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"";

/// Numbers may be off by the rounding of their last digit when they are read.
const ROUNDING: f64 = 1e-15;

fn check_same<T: serde::Serialize>(one: &T, other: &T) {
    let [one, other] = [one, other].map(|value| serde_json::to_value(value).expect("it can be written"));
    assert!(is_same(&one, &other), "{one} is not {other}");
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one != other => {
            let (Some(one), Some(other)) = (one.as_f64(), other.as_f64()) else {
                return false;
            };
            (one - other).abs() <= ROUNDING * one.abs()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|other| is_same(value, other)))
        }
        _ => one == other,
    }
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let text = serde_json::to_string(value).expect("it can be written");
    serde_json::from_str(&text).expect("what was written can be read")
}

fn seeds() -> Vec<Vec<u8>> {
    let order = Order {
        job_id: Default::default(),
        controller_id: Default::default(),
        audience: Audience::All,
        operation: Operation::NtpGet,
        issued_ms: 1,
        not_after_ms: 2,
    };
    let signature = format!("\"{}\"", "A".repeat(86) + "==");
    let id = "\"00000000-0000-0000-0000-000000000001\"";
    let report = serde_json::to_string(&model::host::HostReport::default()).unwrap_or_default();
    let facts = serde_json::to_string(&model::host::HostFacts::default()).unwrap_or_default();
    let order = serde_json::to_string(&order).unwrap_or_default();
    let quoted = serde_json::to_string(&order).unwrap_or_default();
    let within =
        |kind: &str, object: &str| format!("{{\"frame\":\"{kind}\",{}", object.get(1..).unwrap_or("}"));
    let frames = [
        format!(
            "{{\"frame\":\"challenge\",\"version\":{{\"major\":1,\"minor\":0}},\"controller_id\":{id},\"nonce\":\"00\"}}"
        ),
        format!(
            "{{\"frame\":\"hello\",\"version\":{{\"major\":1,\"minor\":0}},\"public_key\":{KEY},\"signature\":{signature},\
             \"enrolment_secret\":\"x\",\"facts\":{facts}}}"
        ),
        format!(
            "{{\"frame\":\"welcome\",\"state\":\"ready\",\"controller_key\":{KEY},\"now_ms\":1,\"heartbeat_s\":10}}"
        ),
        "{\"frame\":\"refused\",\"reason\":\"no\",\"retry_s\":5}".to_owned(),
        "{\"frame\":\"state\",\"state\":\"pending\"}".to_owned(),
        format!("{{\"frame\":\"job\",\"order\":{quoted},\"signature\":{signature}}}"),
        format!("{{\"frame\":\"ack\",\"job_id\":{id}}}"),
        within("report", &report),
        "{\"frame\":\"heard\",\"now_ms\":5,\"colour\":\"red\"}".to_owned(),
        within("facts", &facts),
        "{\"frame\":\"sing\",\"song\":\"x\"}".to_owned(),
        order,
    ];
    frames.into_iter().map(String::into_bytes).collect()
}

fn dictionary() -> Vec<Vec<u8>> {
    words_of(&[
        "\"frame\":",
        "\"challenge\"",
        "\"hello\"",
        "\"welcome\"",
        "\"refused\"",
        "\"state\"",
        "\"job\"",
        "\"result\"",
        "\"ack\"",
        "\"report\"",
        "\"heard\"",
        "\"facts\"",
        "\"job_id\":",
        "\"host\":",
        "\"hostname\":",
        "\"outcome\":",
        "\"status\"",
        "\"changed\"",
        "\"failed\"",
        "\"duration_ms\":",
        "\"ntp\":",
        "\"sources\":[",
        "\"servers\":[",
        "\"offset_s\":",
        "\"error_bound_s\":",
        "\"labels\":{",
        "\"ntp_update\"",
        "\"ntp_get\"",
        "\"label\":",
        "null",
        "1e308",
        "-0.0",
        "18446744073709551615",
        "\\ud800",
        "\"00000000-0000-0000-0000-000000000001\"",
    ])
}
