//! What the engine wants done, in order.

use std::collections::VecDeque;

use conf::config::Topic;

use crate::io::{ClockCommand, Event, LogFile, Output, Severity};

/// The outputs that wait to be taken.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Output>,
    /// Whether what happened is told as events, and not in chrony's words.
    tells: bool,
}

impl Outbox {
    /// Begins without outputs; with `tells` events are among them.
    pub fn new(tells: bool) -> Self {
        Self {
            waiting: VecDeque::new(),
            tells,
        }
    }

    /// Whether events are told.
    pub fn tells(&self) -> bool {
        self.tells
    }

    /// Adds an output.
    pub fn push(&mut self, output: Output) {
        self.waiting.push_back(output);
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Output> {
        self.waiting.pop_front()
    }

    /// Tells what happened, if that is asked for.
    pub fn happened(&mut self, event: Event) {
        if self.tells {
            self.push(Output::Happened(event));
        }
    }

    /// Asks for an act upon the clock.
    pub fn clock(&mut self, command: ClockCommand) {
        self.push(Output::Clock(command));
    }

    /// Logs a change of state of the daemon itself.
    pub fn info(&mut self, text: impl Into<String>) {
        self.log(Severity::Info, text);
    }

    /// Logs a change of state.
    pub fn info_about(&mut self, topic: Topic, text: impl Into<String>) {
        self.log_about(topic, Severity::Info, text);
    }

    /// Logs something an operator should look at.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.log(Severity::Warning, text);
    }

    /// Says something of which OpenNTPD's words are the only ones: as an event where events are told, in the log
    /// otherwise.
    pub fn say(&mut self, severity: Severity, text: impl Into<String>) {
        let text = printable(text.into());
        self.push(if self.tells {
            Output::Happened(Event::Said { severity, text })
        } else {
            Output::Log {
                severity,
                topic: Topic::System,
                text,
            }
        });
    }

    /// Logs a line about the daemon itself.
    pub fn log(&mut self, severity: Severity, text: impl Into<String>) {
        self.log_about(Topic::System, severity, text);
    }

    /// Logs a line. Names in it can come from anywhere: what a terminal would obey is not passed on.
    pub fn log_about(&mut self, topic: Topic, severity: Severity, text: impl Into<String>) {
        let text = printable(text.into());
        self.push(Output::Log {
            severity,
            topic,
            text,
        });
    }

    /// Writes a line to a log file.
    pub fn line(&mut self, file: LogFile, line: String) {
        self.push(Output::LogFile { file, line });
    }
}

/// A line in which nothing is left that a terminal would obey.
fn printable(text: String) -> String {
    if text.contains(char::is_control) {
        text.replace(char::is_control, "?")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_control_the_terminal_of_who_reads_the_log() {
        let mut out = Outbox::default();
        out.warn("Could not add source a\u{1b}[2Jb\nc\u{9b}é : Invalid name");
        let Some(Output::Log { text, .. }) = out.pop() else {
            panic!("a line")
        };
        assert_eq!(text, "Could not add source a?[2Jb?c?é : Invalid name");
    }
}
