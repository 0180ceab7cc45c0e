//! Files that are nowhere but in an input.

use std::collections::{BTreeMap, BTreeSet};

use conf::include::{ReadError, Reader};

/// Files by path; directories are those that the paths imply.
pub(crate) struct Files(pub(crate) BTreeMap<String, String>);

impl Reader for Files {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        if self.list_dir(path).is_ok() {
            return Err(ReadError::IsDirectory);
        }
        self.0.get(path).cloned().ok_or(ReadError::NotFound)
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let below = self.0.keys().filter_map(|file| file.strip_prefix(&prefix));
        let names: BTreeSet<&str> = below.filter_map(|rest| rest.split('/').next()).collect();
        if names.is_empty() {
            return Err(ReadError::NotFound);
        }
        Ok(names.into_iter().map(str::to_owned).collect())
    }
}
