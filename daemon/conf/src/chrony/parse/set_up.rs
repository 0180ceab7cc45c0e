//! What is found when the whole configuration has been read: directives that exclude each other, and
//! rules that cannot be set up. chronyd dies of it without saying a line.

use std::collections::BTreeMap;

use crate::chrony::directives::Directive;
use crate::chrony::walk::{Line, Reports};
use crate::config::{ClientLog, Config};
use crate::diagnostic::{Diagnostic, Placed, Severity};

/// Directives whose last line is cited.
const CITED: [&str; 3] = ["rtcfile", "ratelimit", "cmdratelimit"];

/// Keeps what is to be said after everything else.
#[derive(Default)]
pub(super) struct SetUp {
    later: Vec<Diagnostic>,
    /// The first line that needs a table of leap seconds, as an error.
    leap_seconds: Option<Diagnostic>,
    /// The last line of a directive, as a diagnostic without a message.
    places: BTreeMap<&'static str, Diagnostic>,
}

impl SetUp {
    /// Remembers a line that may have to be cited.
    pub(super) fn remember(&mut self, line: &Line<'_>, directive: &'static Directive) {
        if CITED.contains(&directive.name) {
            self.places
                .insert(directive.name, unplaced(line, 0, String::new()));
        }
    }

    /// Keeps an error about the word at an index.
    pub(super) fn refuse(&mut self, line: &Line<'_>, word: usize, message: String) {
        self.later.push(unplaced(line, word, message));
    }

    /// Keeps that a reference clock cannot do without a table of leap seconds.
    pub(super) fn needs_leap_seconds(&mut self, line: &Line<'_>) {
        let message = "refclock tai option requires leapseclist or leapsectz".to_owned();
        self.leap_seconds
            .get_or_insert_with(|| unplaced(line, 0, message));
    }

    /// Reports what is wrong.
    pub(super) fn check(&self, config: &Config, reports: &mut Reports) {
        // The order is that of chronyd, which says only the first.
        if config.rtc.kernel_sync && config.rtc.file.is_some() {
            self.report(
                "rtcfile",
                "rtcfile directive cannot be used with rtcsync",
                reports,
            );
        }
        if let Some(diagnostic) = &self.leap_seconds
            && config.leap.list_file.is_none()
            && config.leap.time_zone.is_none()
        {
            reports.push(diagnostic.clone());
        }
        for diagnostic in &self.later {
            reports.push(diagnostic.clone());
        }
        if config.server.client_log == ClientLog::Off {
            let message = "Rate limiting cannot be enabled with noclientlog";
            self.report("ratelimit", message, reports);
            self.report("cmdratelimit", message, reports);
        }
    }

    /// Reports that a directive, if it is there, cannot be set up.
    fn report(&self, name: &str, message: &str, reports: &mut Reports) {
        if let Some(place) = self.places.get(name) {
            reports.push(Diagnostic {
                message: message.to_owned(),
                ..place.clone()
            });
        }
    }
}

fn unplaced(line: &Line<'_>, word: usize, message: String) -> Diagnostic {
    Diagnostic {
        placed: Placed::Nowhere,
        ..line.diagnostic(Severity::Error, word, message, None)
    }
}
