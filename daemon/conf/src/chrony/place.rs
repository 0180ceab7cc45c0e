//! Where files can be put so that a daemon reads them, now and after a restart of the host.

use super::scan::{ChronyConf, Directory};

/// Directories whose content does not survive a restart of the host.
const VOLATILE: [&str; 4] = ["/run", "/var/run", "/tmp", "/dev"];

/// Says which directories of a configuration can hold files that last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement<'a> {
    /// The first such directory of `sourcedir`: files in it take effect on `reload sources`.
    pub source_dir: Result<&'a Directory, NoDirectory>,
    /// The first such directory of `confdir`: files in it take effect when the daemon restarts.
    pub conf_dir: Result<&'a Directory, NoDirectory>,
}

/// Says why a configuration has no directory for files that last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDirectory {
    /// The directive is not there.
    #[error("the configuration has no {directive}")]
    NotConfigured {
        /// The directive that is missing.
        directive: &'static str,
    },
    /// The directive names only directories that are emptied when the host restarts, or that
    /// are not absolute paths; carries the first one.
    #[error("{directive} {path} does not last")]
    NotPersistent {
        /// The directive.
        directive: &'static str,
        /// The first directory it names.
        path: String,
    },
}

/// Returns the first persistent directory of each kind. Whether it exists is not looked at.
pub fn place(conf: &ChronyConf) -> Placement<'_> {
    Placement {
        source_dir: first("sourcedir", &conf.source_dirs),
        conf_dir: first("confdir", &conf.conf_dirs),
    }
}

fn first<'a>(directive: &'static str, directories: &'a [Directory]) -> Result<&'a Directory, NoDirectory> {
    match (
        directories
            .iter()
            .find(|directory| is_persistent(&directory.path)),
        directories.first(),
    ) {
        (Some(directory), _) => Ok(directory),
        (None, Some(other)) => Err(NoDirectory::NotPersistent {
            directive,
            path: other.path.clone(),
        }),
        (None, None) => Err(NoDirectory::NotConfigured { directive }),
    }
}

/// Reports whether an absolute path is below none of the volatile directories, as far as the path
/// itself says: symbolic links are not followed.
pub fn is_persistent(path: &str) -> bool {
    if !path.starts_with('/') {
        return false;
    }
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            _ => components.push(component),
        }
    }
    !VOLATILE.iter().any(|volatile| {
        let volatile = volatile.split('/').skip(1).collect::<Vec<_>>();
        components.starts_with(&volatile)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chrony::scan;
    use crate::include::tests::Files;

    fn check(text: &str) -> (Result<String, NoDirectory>, Result<String, NoDirectory>) {
        let (conf, _) = scan("/main", &Files::new(&[("/main", text)]));
        let placement = place(&conf);
        let path = |directory: Result<&Directory, NoDirectory>| directory.map(|found| found.path.clone());
        (path(placement.source_dir), path(placement.conf_dir))
    }

    #[test]
    fn the_first_directory_that_lasts_is_taken() {
        let (source_dir, conf_dir) = check(
            "sourcedir /run/chrony-dhcp\nsourcedir /etc/chrony/sources.d\nconfdir /var/run/a /etc/b /etc/c\n",
        );
        assert_eq!(source_dir.as_deref(), Ok("/etc/chrony/sources.d"));
        assert_eq!(conf_dir.as_deref(), Ok("/etc/b"));
    }

    #[test]
    fn without_such_a_directory_there_is_a_reason() {
        let (source_dir, conf_dir) = check("sourcedir /run/chrony-dhcp\n");
        let path = "/run/chrony-dhcp".to_owned();
        assert_eq!(
            source_dir,
            Err(NoDirectory::NotPersistent {
                directive: "sourcedir",
                path
            })
        );
        assert_eq!(conf_dir, Err(NoDirectory::NotConfigured { directive: "confdir" }));
    }

    #[test]
    fn paths_are_judged_by_their_components() {
        for path in [
            "/run",
            "//run/a",
            "/etc/../run/a",
            "/./tmp",
            "/var/run/x/",
            "run",
            "../etc",
            "/dev/shm/a",
        ] {
            assert!(!is_persistent(path), "{path}");
        }
        for path in ["/runs", "/etc/run", "/var/lib/chrony", "/etc/./chrony"] {
            assert!(is_persistent(path), "{path}");
        }
    }
}
