//! Adopting a host: its daemon is made to read a place for managed servers.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Adoption, Backend, Managed};
use crate::host::Access;
use crate::journal::{Effect, Names};
use crate::providers::ntp::{AdoptReport, MANAGED_HEADER};

/// How many former files of a configuration are kept beside it.
const BACKUPS_MAX: u32 = 9;

impl<B: Backend> Managed<B> {
    /// Adds a line to the daemon's configuration when there is none that lasts, and restarts the daemon.
    pub(super) fn make_place(&self) -> Result<AdoptReport, String> {
        let config = self.backend.config();
        let (directory, line, file) = match self.backend.adoption(&self.backend.conf())? {
            Adoption::Done { directory, note } => {
                return Ok(AdoptReport {
                    changed: false,
                    directory,
                    notes: vec![note],
                    config,
                    backup: None,
                });
            }
            Adoption::Line {
                directory,
                line,
                file,
            } => (directory, line, file),
        };
        if !self.host().is_root() {
            return Err("needs root: run `timeball agent adopt` as root".to_owned());
        }
        for path in [Some(&config), Some(&directory), file.as_ref()]
            .into_iter()
            .flatten()
        {
            self.belongs_to_root(path, Access::Public)
                .map_err(|error| format!("cannot write {}: {error}; nothing was changed", path.display()))?;
        }
        let identity = self.backend.common().identity;
        let former = self.host().read(&config).map_err(|error| {
            format!(
                "cannot read {}: {error}; is {} installed? ({})",
                config.display(),
                identity.name,
                identity.install
            )
        })?;
        let (backup, is_new) = self.back_up(&config, &former)?;
        if let Some(file) = file {
            self.make_file(&file)?;
        }
        let mut next = former.clone();
        if !next.ends_with(b"\n") {
            next.push(b'\n');
        }
        let lines = format!("\n# Added by timeball: a place for managed time sources.\n{line}\n");
        next.extend_from_slice(lines.as_bytes());
        if let Err(error) = self.replace_config(&config, &directory, &former, &next) {
            if is_new {
                // The file is as it is kept. Whoever cannot remove it has one more.
                let _ = self.host().remove(&backup);
            }
            return Err(error);
        }
        Ok(AdoptReport {
            changed: true,
            directory,
            notes: vec![
                format!("added `{line}` to {}", config.display()),
                format!("the file as it was is kept as {}", backup.display()),
                format!("restarted {}, which answers", identity.daemon),
            ],
            config,
            backup: Some(backup),
        })
    }

    /// Makes a file without servers, unless it is there.
    fn make_file(&self, path: &Path) -> Result<(), String> {
        if self.host().kind(path).is_ok() {
            return Ok(());
        }
        let content = format!("# {MANAGED_HEADER}\n");
        let directory = path.parent().unwrap_or(Path::new("/"));
        self.host()
            .make_directory(directory, Access::Public)
            .and_then(|()| self.host().replace(path, content.as_bytes(), Access::Public))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Keeps the file as it is, for root only: it may have secrets. What was kept before stays; also returns whether this
    /// is a new one.
    fn back_up(&self, config: &Path, former: &[u8]) -> Result<(PathBuf, bool), String> {
        let name = |number: u32| {
            let mut name = config.as_os_str().to_owned();
            name.push(".timeball-backup");
            if number > 1 {
                name.push(format!(".{number}"));
            }
            PathBuf::from(name)
        };
        for number in 1..=BACKUPS_MAX {
            let backup = name(number);
            match self.host().read(&backup) {
                Ok(content) if content == former => return Ok((backup, false)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return match self.host().replace(&backup, former, Access::Private) {
                        Ok(()) => Ok((backup, true)),
                        Err(error) => Err(format!("cannot write {}: {error}", backup.display())),
                    };
                }
                Err(error) => return Err(format!("cannot read {}: {error}", backup.display())),
            }
        }
        Err(format!(
            "there are {BACKUPS_MAX} former files beside {}: remove those that nobody needs",
            config.display()
        ))
    }

    fn replace_config(
        &self,
        config: &Path,
        directory: &Path,
        former: &[u8],
        next: &[u8],
    ) -> Result<(), String> {
        let cannot = |path: &Path, error: std::io::Error| format!("cannot write {}: {error}", path.display());
        self.host()
            .make_directory(directory, Access::Public)
            .map_err(|error| cannot(directory, error))?;
        self.host()
            .replace(config, next, Access::Kept)
            .map_err(|error| cannot(config, error))?;
        let is_read = matches!(
            self.backend.adoption(&self.backend.conf()),
            Ok(Adoption::Done { .. })
        );
        let taken = if is_read {
            self.restart()
                .and_then(|()| self.verify(&Names::default(), Effect::Restart))
                .map_err(|error| error.to_string())
        } else {
            Err(format!("{} does not read the new line", config.display()))
        };
        let Err(error) = taken else { return Ok(()) };
        let restored = self
            .host()
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
}
