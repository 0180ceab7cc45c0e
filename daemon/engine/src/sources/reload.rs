//! The lines of the configuration and of the files of the source directories: what changed in them since they were read
//! last.

use std::collections::{BTreeMap, BTreeSet};

use conf::config::{SourceConfig, SourceKey};

use crate::io::Output;
use crate::sources::add::AddError;
use crate::sources::{EntryId, Origin, Sources, Tools};

impl Sources {
    /// Asks for the files, if they have been read once (`chronyc reload sources`).
    pub fn reload(&mut self, tools: &mut Tools<'_>) {
        if self.is_directory_read {
            tools.out.push(Output::ReadSourceFiles);
        }
    }

    /// The files have been read, and this is in them.
    ///
    /// What cannot be added is said once, and tried again with the next files.
    pub fn directory_read(&mut self, configs: Vec<SourceConfig>, tools: &mut Tools<'_>) {
        self.is_directory_read = true;
        let mut failed = BTreeSet::new();
        for (key, name, error) in self.exchange(Origin::Directory, configs, tools) {
            if !self.failed.contains(&key) && !failed.contains(&key) {
                tools.out.warn(not_added(&name, error));
            }
            failed.insert(key);
        }
        self.failed = failed;
    }

    /// The configuration has been read again, and these are its sources.
    pub(crate) fn configured_again(&mut self, configs: Vec<SourceConfig>, tools: &mut Tools<'_>) {
        for (_, name, error) in self.exchange(Origin::Reconfiguration, configs, tools) {
            tools.out.warn(not_added(&name, error));
        }
    }

    /// Has the sources of one origin be these, and returns those that cannot be added.
    ///
    /// What was there before with all the same settings stays as it is; what is not there any more goes first, then what is
    /// new comes.
    fn exchange(
        &mut self,
        origin: Origin,
        configs: Vec<SourceConfig>,
        tools: &mut Tools<'_>,
    ) -> Vec<(SourceKey, String, AddError)> {
        let mut present: BTreeMap<SourceKey, Vec<EntryId>> = BTreeMap::new();
        for (id, entry) in &mut self.entries {
            if entry.origin.is_like(origin) {
                entry.origin = origin;
                present.entry(entry.key.clone()).or_default().push(*id);
            }
        }
        let mut new = Vec::new();
        for config in configs {
            let key = config.key();
            let known = present.get_mut(&key).and_then(Vec::pop);
            if known.is_none() {
                new.push((key, config));
            }
        }
        for entry in present.into_values().flatten() {
            self.remove_entry(entry, tools);
        }
        let mut failed = Vec::new();
        for (key, config) in new {
            let name = config.name.to_string();
            if let Err(error) = self.add(config, origin, tools) {
                failed.push((key, name, error));
            }
        }
        failed
    }
}

fn not_added(name: &str, error: AddError) -> String {
    format!("Could not add source {name} : {}", error.reason())
}
