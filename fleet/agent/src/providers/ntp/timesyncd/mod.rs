//! systemd-timesyncd: asked over D-Bus by systemd's `busctl`, and given a drop-in that takes effect by a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use model::{Failure, FailureKind, Server, ServerOptions};

use super::MANAGED_HEADER;
use super::keepers::Processes;
use super::managed::{
    Adoption, Backend, Candidate, Common, DaemonError, Entry, Identity, ManagedFile, Other, Report,
    refuse_options,
};
use crate::settings::TimeService;

mod bus;
mod files;
mod seen;
mod status;

use bus::Properties;
use files::Files;
use seen::Seen;

/// Its program, for operators.
const DAEMON: &str = "systemd-timesyncd";

/// Its configuration file, which need not exist.
const CONFIG: &str = "/etc/systemd/timesyncd.conf";

/// The managed file, in the directory of drop-ins beside it.
const FILE: &str = "timeball.conf";

/// The provider for systemd-timesyncd.
pub(super) struct Timesyncd {
    common: Common,
    /// What was seen of the daemon's answers when it was looked at last.
    seen: Mutex<Option<Seen>>,
}

impl Timesyncd {
    pub(super) fn new(processes: &Arc<Processes>, settings: TimeService, state: &Path) -> Self {
        Timesyncd {
            common: Common::new(
                processes,
                Identity {
                    name: "timesyncd",
                    daemon: DAEMON,
                    units: &[DAEMON],
                    install: "`apt-get install systemd-timesyncd`",
                },
                settings,
                state,
                "timesyncd.json",
            ),
            seen: Mutex::new(None),
        }
    }

    /// The managed file.
    fn managed_file(&self) -> PathBuf {
        files::drop_ins(&self.config()).join(FILE)
    }
}

impl Backend for Timesyncd {
    type Conf = Files;

    fn common(&self) -> &Common {
        &self.common
    }

    fn config(&self) -> PathBuf {
        let config = self.common.settings.config.clone();
        config.unwrap_or_else(|| PathBuf::from(CONFIG))
    }

    fn conf(&self) -> Files {
        Files::read(&*self.common.host, &self.config())
    }

    fn candidates(&self, _files: &Files, recorded: Option<&Path>) -> Vec<Candidate> {
        Candidate::now_and_recorded(self.managed_file(), recorded)
    }

    fn target(&self, files: &Files) -> Result<Candidate, Failure> {
        let path = self.managed_file();
        match files.clears_after(&path) {
            Some(place) => Err(Failure::new(
                FailureKind::NoPlace,
                format!(
                    "there is no place for managed servers: {place} comes after {} and takes all servers away again \
                     (`NTP=`); take that line out, or give that file a name that comes earlier",
                    path.display()
                ),
            )),
            None => Ok(Candidate::restarted(path)),
        }
    }

    /// The managed file takes away what the files before it name.
    fn others(&self, files: &Files, _managed: &[ManagedFile], is_managed: bool) -> Vec<Other> {
        files.others(&self.managed_file(), is_managed)
    }

    fn directories(&self, _files: &Files) -> Vec<PathBuf> {
        vec![files::drop_ins(&self.config())]
    }

    /// Whether a server begins quickly, or stands for several, is not timesyncd's to choose: it asks one at a time.
    fn write(&self, servers: &[Server]) -> Result<String, Failure> {
        for server in servers {
            refuse_options(DAEMON, server, &[])?;
        }
        let names: Vec<&str> = servers.iter().map(Server::name).collect();
        Ok(format!(
            "# {MANAGED_HEADER}\n[Time]\n# Takes away what other files name.\nNTP=\nNTP={}\n",
            names.join(" ")
        ))
    }

    fn read(&self, text: &str) -> Vec<Entry> {
        let names = files::servers_of(text);
        names
            .into_iter()
            .map(|name| Entry {
                server: Server::new(&name, ServerOptions::default()).ok(),
                text: name.clone(),
                name,
            })
            .collect()
    }

    fn called(&self, name: &str) -> String {
        super::address_in_one_form(name)
    }

    fn names(&self, _files: &Files) -> Result<Vec<String>, DaemonError> {
        Ok(names(&self.properties()?))
    }

    fn report(&self, _files: &Files) -> Result<Report, DaemonError> {
        let properties = self.properties()?;
        Ok(Report {
            status: self.status(&properties),
            names: names(&properties),
        })
    }

    fn adoption(&self, _files: &Files) -> Result<Adoption, String> {
        let directory = files::drop_ins(&self.config());
        Ok(Adoption::Done {
            note: format!(
                "systemd-timesyncd reads {} by itself; nothing was changed",
                directory.display()
            ),
            directory,
        })
    }

    /// Its files are often there without it, and it without any.
    fn is_there(&self) -> bool {
        let has_record = self.common.host.kind(&self.common.record).is_ok();
        let is_installed = self.common.installed_unit().is_some() || self.common.is_enabled();
        is_installed || has_record || self.has_process()
    }
}

/// The servers that it was configured with and asks, as it calls them: none of its files' while a program has given it
/// others.
fn names(properties: &Properties) -> Vec<String> {
    let called = |name: &String| super::address_in_one_form(name);
    let asked = match properties.runtime_servers.is_empty() {
        true => &properties.system_servers,
        false => &properties.runtime_servers,
    };
    let mut names: Vec<String> = asked.iter().map(called).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_given_at_run_time_are_asked_in_the_place_of_the_files() {
        let mut properties = Properties {
            system_servers: vec!["b".to_owned(), "2001:DB8::5".to_owned()],
            ..Properties::default()
        };
        assert_eq!(names(&properties), ["2001:db8::5", "b"]);
        properties.runtime_servers = vec!["192.0.2.16".to_owned()];
        assert_eq!(names(&properties), ["192.0.2.16"]);
    }
}
