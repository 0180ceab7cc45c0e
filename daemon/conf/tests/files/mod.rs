//! Files in memory, for the tests of this directory.

use std::collections::BTreeMap;

use conf::chrony::parse;
use conf::config::Config;
use conf::diagnostic::Severity;
use conf::include::{ReadError, Reader};

/// The configuration file.
pub(crate) const MAIN: &str = "/main";

/// Files by path.
pub(crate) struct Files(BTreeMap<String, String>);

impl Files {
    /// Makes them from paths and texts.
    pub(crate) fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = files.into_iter();
        Self(
            files
                .map(|(path, text)| (path.to_owned(), text.to_owned()))
                .collect(),
        )
    }
}

impl Reader for Files {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        self.0.get(path).cloned().ok_or(ReadError::NotFound)
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        let prefix = format!("{path}/");
        let below = self.0.keys().filter_map(|file| file.strip_prefix(&prefix));
        let names = below
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect::<Vec<_>>();
        if names.is_empty() {
            Err(ReadError::NotFound)
        } else {
            Ok(names)
        }
    }
}

/// Parses one file; returns the diagnostics as `severity line:column as-original`.
pub(crate) fn check(text: &str) -> (Config, Vec<String>) {
    let (config, diagnostics) = parse(MAIN, &Files::new([(MAIN, text)]));
    let brief = diagnostics.into_iter().map(|diagnostic| {
        let severity = match diagnostic.severity {
            Severity::Error => 'E',
            Severity::Skipped => 'S',
            Severity::Warning => 'W',
        };
        let span = &diagnostic.span;
        format!(
            "{severity} {}:{} {}",
            span.line,
            span.column,
            diagnostic.as_original()
        )
    });
    (config, brief.collect())
}
