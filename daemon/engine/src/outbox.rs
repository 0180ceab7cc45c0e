//! What the engine wants done, in order.

use std::collections::VecDeque;

use crate::io::{ClockCommand, LogFile, Output, Severity};

/// The outputs that wait to be taken.
#[derive(Debug, Default)]
pub struct Outbox(VecDeque<Output>);

impl Outbox {
    /// Adds an output.
    pub fn push(&mut self, output: Output) {
        self.0.push_back(output);
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Output> {
        self.0.pop_front()
    }

    /// Asks for an act upon the clock.
    pub fn clock(&mut self, command: ClockCommand) {
        self.push(Output::Clock(command));
    }

    /// Logs a change of state.
    pub fn info(&mut self, text: impl Into<String>) {
        self.log(Severity::Info, text);
    }

    /// Logs something an operator should look at.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.log(Severity::Warning, text);
    }

    /// Logs a line.
    pub fn log(&mut self, severity: Severity, text: impl Into<String>) {
        self.push(Output::Log {
            severity,
            text: text.into(),
        });
    }

    /// Writes a line to a log file.
    pub fn line(&mut self, file: LogFile, line: String) {
        self.push(Output::LogFile { file, line });
    }
}
