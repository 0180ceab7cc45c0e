//! The daemon's version: its protocol does not tell, its program does.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use conf::chrony::ChronyConf;

use super::ChronyProvider;

/// How long the program may take to say its version.
const TIME: Duration = Duration::from_secs(5);

/// Longest version that is believed, in characters.
const CHARS_MAX: usize = 40;

/// What is known of the version, and of which process.
#[derive(Debug)]
pub(super) struct KnownVersion {
    /// What was in the daemon's pid file, as far as it could be read.
    process: Option<Vec<u8>>,
    version: Option<String>,
}

impl ChronyProvider {
    /// The version of the daemon. Its program is run only when the daemon is another process than the last time.
    pub(super) fn version(&self, conf: &ChronyConf) -> Option<String> {
        let pid_file = conf.pid_file.as_deref().unwrap_or(self.service.pid_file);
        let process = self.common.host.read(Path::new(pid_file)).ok();
        let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.process == process) {
            return known.version.clone();
        }
        let command = [self.program(), "--version".to_owned()];
        let said = self
            .common
            .host
            .run(&command, TIME)
            .ok()
            .filter(|output| output.success);
        let version = said.and_then(|output| version_in(&output.text));
        *known = Some(KnownVersion {
            process,
            version: version.clone(),
        });
        version
    }

    /// The daemon's program: where it was said to be, else by its name, else where ordinary users do not look.
    pub(super) fn program(&self) -> String {
        if let Some(observer) = &self.observer {
            return observer.program.display().to_string();
        }
        self.common.program(self.service.daemon)
    }
}

/// The version in `chronyd (chrony) version 4.3 (+CMDMON …)`.
fn version_in(text: &str) -> Option<String> {
    let (_, rest) = text.lines().next()?.split_once(" version ")?;
    let version = rest.split_whitespace().next()?;
    let plain = |character: char| character.is_ascii_graphic();
    (version.chars().count() <= CHARS_MAX && version.chars().all(plain)).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_daemons_say() {
        let chronyd = "chronyd (chrony) version 4.3 (+CMDMON +NTP)\n";
        assert_eq!(version_in(chronyd).as_deref(), Some("4.3"));
        let timeballd = "timeballd (timeball) version 0.1.0 (+CMDMON -NTS)";
        assert_eq!(version_in(timeballd).as_deref(), Some("0.1.0"));
        let long = format!("x version {}", "1".repeat(CHARS_MAX + 1));
        for text in ["", "chronyd 4.3", "x version", long.as_str()] {
            assert_eq!(version_in(text), None, "{text}");
        }
    }
}
