//! The files that ntpd reads.

use std::path::{Path, PathBuf};

use conf::include::search;
use conf::ntp::explain;

use super::{DIRECTORY, lines};
use crate::host::Host;
use crate::providers::ntp::HostReader;
use crate::providers::ntp::managed::{ManagedFile, Other};

/// What they say of sources and of files.
#[derive(Debug)]
pub(in crate::providers::ntp) struct Files {
    sources: Vec<(PathBuf, Other)>,
    /// The `includefile` lines: what they name, and where they are.
    includes: Vec<(PathBuf, String)>,
}

impl Files {
    /// Reads the configuration, and the files of the directory beside it.
    pub(super) fn read(host: &dyn Host, config: &Path) -> Self {
        let reader = HostReader(host);
        let beside = config.parent().unwrap_or(Path::new("/")).join(DIRECTORY);
        let mut paths = vec![config.display().to_string()];
        paths.extend(search(&[&beside.to_string_lossy()], ".conf", &reader));
        let mut files = Files {
            sources: Vec::new(),
            includes: Vec::new(),
        };
        for path in paths {
            for line in explain(&path, &reader).lines {
                let place = format!("{}:{}", line.span.file, line.span.line);
                let mut words = line.text.split_ascii_whitespace();
                if let (Some("includefile"), Some(named)) = (words.next(), words.next()) {
                    let named = Path::new(&*line.span.file)
                        .parent()
                        .unwrap_or(Path::new("/"))
                        .join(named.trim_matches('"'));
                    files.includes.push((named, place));
                } else if let Some(name) = lines::source_name(&line.text) {
                    let (text, _) = line.text.split_once('#').unwrap_or((&line.text, ""));
                    let other = Other {
                        name: name.to_owned(),
                        text: text.trim().to_owned(),
                        place,
                    };
                    let known = files.sources.iter().any(|(_, known)| known.place == other.place);
                    if !known {
                        files.sources.push((PathBuf::from(&*line.span.file), other));
                    }
                }
            }
        }
        files
    }

    /// Where a file, or its directory, is included.
    pub(super) fn include_of(&self, path: &Path) -> Option<&str> {
        let found = self
            .includes
            .iter()
            .find(|(named, _)| named == path || Some(named.as_path()) == path.parent());
        found.map(|(_, place)| place.as_str())
    }

    /// The sources that stand in other files than these.
    pub(super) fn others(&self, managed: &[ManagedFile]) -> Vec<Other> {
        let others = self
            .sources
            .iter()
            .filter(|(file, _)| !managed.iter().any(|managed| managed.path == *file));
        others.map(|(_, other)| other.clone()).collect()
    }
}

/// Whether a daemon of this version reads the directory beside its configuration by itself: NTPsec's does, the classic
/// one does not.
pub(super) fn reads_directory(version: &str) -> bool {
    version.contains("ntpsec")
}
