//! Answers that come host by host, as server-sent events.
//!
//! `event: job` says how many hosts are asked, each `event: host` is one host's row, and `event: result` at
//! the end carries status and body of the answer that a plain request would have had.

use std::io::{self, BufRead, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::http::StatusCode;

use crate::client::http::Answer;

/// Who is told while hosts answer.
pub(crate) trait Progress {
    /// So many hosts are asked.
    fn expects(&mut self, hosts: u64);
    /// One more host has answered.
    fn answered(&mut self);
}

/// A line on stderr: `12 of 20 hosts answered`.
pub(crate) struct ProgressLine {
    bar: ProgressBar,
}

impl ProgressLine {
    /// Makes the line, when stderr is a terminal.
    pub(crate) fn for_terminal() -> Option<Self> {
        io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("  {pos} of {len} hosts answered") {
                bar.set_style(style);
            }
            ProgressLine { bar }
        })
    }
}

impl Progress for ProgressLine {
    fn expects(&mut self, hosts: u64) {
        self.bar.set_length(hosts);
        self.bar.tick();
    }

    fn answered(&mut self) {
        self.bar.inc(1);
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Data of the event `job`.
#[derive(Deserialize)]
struct JobEvent {
    expected: u64,
}

/// Data of the event `result`.
#[derive(Deserialize)]
struct ResultEvent<'a> {
    status: u16,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// Reads events up to the result and gives it; the body is the text that was sent, byte for byte.
///
/// # Errors
/// When the stream ends without a result, or an event is not as the contract says.
pub(crate) fn read(mut reader: impl BufRead, progress: &mut dyn Progress) -> io::Result<Answer> {
    let (mut event, mut data) = (String::new(), String::new());
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it ends without a result",
            ));
        }
        let text = line.trim_end_matches(['\n', '\r']);
        if let Some(value) = field(text, "event") {
            value.clone_into(&mut event);
        } else if let Some(value) = field(text, "data") {
            if !data.is_empty() {
                data.push('\n');
            }
            data.push_str(value);
        } else if text.is_empty() {
            match event.as_str() {
                "job" => progress.expects(serde_json::from_str::<JobEvent>(&data)?.expected),
                "host" => progress.answered(),
                "result" => return result(&data),
                // A kind that a newer controller knows, or a sign of life.
                _ => {}
            }
            event.clear();
            data.clear();
        }
    }
}

fn result(data: &str) -> io::Result<Answer> {
    let event: ResultEvent<'_> = serde_json::from_str(data)?;
    let status = StatusCode::from_u16(event.status)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the result has no status"))?;
    Ok(Answer {
        status,
        body: event.body.get().as_bytes().to_vec(),
    })
}

/// The value of a line `name: value`, if it is one of that name.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?.strip_prefix(':')?;
    Some(value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told(Vec<String>);

    impl Progress for Told {
        fn expects(&mut self, hosts: u64) {
            self.0.push(format!("of {hosts}"));
        }

        fn answered(&mut self) {
            self.0.push("one".to_owned());
        }
    }

    #[test]
    fn events_are_counted_and_the_body_is_kept_as_sent() {
        let text = ": hello\n\nevent: job\ndata: {\"job_id\":\"x\",\"expected\":2}\n\nevent: host\ndata: {}\n\n\
                    event: news\ndata: ?\n\nevent:host\r\ndata:{}\r\n\r\n\
                    event: result\ndata: {\"status\":200,\"body\":{\"b\" : 1,\ndata:  \"a\":2}}\n\n";
        let mut told = Told::default();
        let answer = read(text.as_bytes(), &mut told).unwrap();
        assert_eq!(told.0, ["of 2", "one", "one"]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, b"{\"b\" : 1,\n \"a\":2}");
    }

    #[test]
    fn a_stream_without_a_result_is_an_error() {
        for text in [
            "",
            "event: job\ndata: {\"expected\":1}\n\n",
            "event: result\ndata: {\"status\":200}\n\n",
            "event: result\ndata: {\"status\":1,\"body\":{}}\n\n",
            "event: job\ndata: nonsense\n\n",
        ] {
            assert!(read(text.as_bytes(), &mut Told::default()).is_err(), "{text:?}");
        }
    }
}
