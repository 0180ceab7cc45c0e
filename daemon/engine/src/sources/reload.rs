//! The files of the source directories: what changed in them since they were read last.

use std::collections::{BTreeMap, BTreeSet};

use conf::config::{SourceConfig, SourceKey};

use crate::io::Output;
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
    /// What was there before with all the same settings stays as it is; what is not there any more goes first,
    /// then what is new comes. What cannot be added is said once, and tried again with the next files.
    pub fn directory_read(&mut self, configs: Vec<SourceConfig>, tools: &mut Tools<'_>) {
        self.is_directory_read = true;
        let mut present: BTreeMap<SourceKey, Vec<EntryId>> = BTreeMap::new();
        for (id, entry) in &self.entries {
            if entry.origin == Origin::Directory {
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
        let mut failed = BTreeSet::new();
        for (key, config) in new {
            let name = config.name.to_string();
            let Err(error) = self.add(config, Origin::Directory, tools) else {
                continue;
            };
            if !self.failed.contains(&key) && !failed.contains(&key) {
                tools
                    .out
                    .warn(format!("Could not add source {name} : {}", error.reason()));
            }
            failed.insert(key);
        }
        self.failed = failed;
    }
}
