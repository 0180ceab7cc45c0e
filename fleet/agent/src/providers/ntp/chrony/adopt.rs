//! Adopting a host: its daemon is made to read a directory for managed files.

use std::path::{Path, PathBuf};

use conf::chrony::{ChronyConf, place, scan};

use super::ChronyProvider;
use crate::host::Access;
use crate::journal::{Effect, Names};
use crate::providers::ntp::{AdoptReport, HostReader};

impl ChronyProvider {
    /// Adds a `sourcedir` to the daemon's configuration when there is none that lasts, and restarts the daemon.
    pub(super) fn make_place(&self) -> Result<AdoptReport, String> {
        let config = self.config();
        let conf = self.scan(&config);
        if let Ok(found) = place(&conf).source_dir {
            return Ok(AdoptReport {
                changed: false,
                directory: PathBuf::from(&found.path),
                notes: vec![format!(
                    "{} names the directory already ({}); nothing was changed",
                    config.display(),
                    found.span
                )],
                config,
                backup: None,
            });
        }
        if !self.host.is_root() {
            return Err("needs root: run `timeball agent adopt` as root".to_owned());
        }
        let former = self.host.read(&config).map_err(|error| {
            format!(
                "cannot read {}: {error}; is {} installed? ({})",
                config.display(),
                self.service.name,
                self.service.install
            )
        })?;
        let backup = self.back_up(&config, &former)?;
        let mut next = former.clone();
        if !next.ends_with(b"\n") {
            next.push(b'\n');
        }
        let directory = self.service.source_dir;
        let lines =
            format!("\n# Added by timeball: a directory for managed time sources.\nsourcedir {directory}\n");
        next.extend_from_slice(lines.as_bytes());
        self.change(&config, &former, &next)?;
        Ok(AdoptReport {
            changed: true,
            directory: PathBuf::from(directory),
            notes: vec![
                format!("added `sourcedir {directory}` to {}", config.display()),
                format!("the file as it was is kept as {}", backup.display()),
                format!("restarted {}, which answers", self.service.daemon),
            ],
            config,
            backup: Some(backup),
        })
    }

    /// Keeps the file as it was before the first change.
    fn back_up(&self, config: &Path, former: &[u8]) -> Result<PathBuf, String> {
        let mut name = config.as_os_str().to_owned();
        name.push(".timeball-backup");
        let backup = PathBuf::from(name);
        if self.host.kind(&backup).is_err() {
            self.host
                .replace(&backup, former, Access::Public)
                .map_err(|error| format!("cannot write {}: {error}", backup.display()))?;
        }
        Ok(backup)
    }

    fn change(&self, config: &Path, former: &[u8], next: &[u8]) -> Result<(), String> {
        let cannot = |path: &Path, error: std::io::Error| format!("cannot write {}: {error}", path.display());
        let directory = Path::new(self.service.source_dir);
        self.host
            .make_directory(directory, Access::Public)
            .map_err(|error| cannot(directory, error))?;
        self.host
            .replace(config, next, Access::Kept)
            .map_err(|error| cannot(config, error))?;
        let conf = self.scan(config);
        let taken = if place(&conf).source_dir.is_ok() {
            self.restart()
                .and_then(|()| self.verify(&Names::default(), Effect::Restart))
                .map_err(|error| error.to_string())
        } else {
            Err(format!("{} does not read the new line", config.display()))
        };
        let Err(error) = taken else { return Ok(()) };
        let restored = self
            .host
            .replace(config, former, Access::Kept)
            .map_err(|error| cannot(config, error))
            .and_then(|()| self.restart().map_err(|error| error.to_string()));
        match restored {
            Ok(()) => Err(format!("{error}; the former configuration is in force again")),
            Err(second) => Err(format!(
                "{error}; going back to the former configuration failed, too: {second}"
            )),
        }
    }

    fn scan(&self, config: &Path) -> ChronyConf {
        scan(&config.to_string_lossy(), &HostReader(&*self.host)).0
    }
}
