//! Whose files are: what root goes by must be nobody else's to change.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Most links on the way to a file, as the kernel has it (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// Permission bits of those who are not the owner (inode(7)).
const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The map of user ids where nobody is mapped to somebody else (user_namespaces(7)).
const ALL_USERS: [&str; 3] = ["0", "0", "4294967295"];

/// As [`super::Host::belongs_to_root`]. Each directory is looked at before what is in it, so that nobody else can put
/// another thing there in between.
pub(super) fn belongs_to_root(path: &Path) -> io::Result<()> {
    let owners = Owners::read();
    let mut ahead: Vec<OsString> = parts(path);
    let mut place = PathBuf::from("/");
    let mut above = owners.look(&place)?;
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            place.pop();
            above = owners.look(&place)?;
            continue;
        }
        let next = place.join(part);
        let found = match owners.look(&next) {
            // Who may make it is known from the directory.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match is_open(&above) {
                true => return Err(not_roots(&place, "can be written by everybody")),
                false => return Ok(()),
            },
            found => found?,
        };
        // Where everybody may make names, root's stay root's; but a file system that somebody mounted there says of its
        // files what he likes.
        if is_open(&above) && found.dev() != above.dev() {
            return Err(not_roots(
                &next,
                "is a mount in a directory into which everybody may write",
            ));
        }
        if found.is_symlink() {
            links += 1;
            if links > LINKS_MAX {
                return Err(not_roots(&next, "leads through too many links"));
            }
            let target = fs::read_link(&next)?;
            if target.is_absolute() {
                place = PathBuf::from("/");
                above = owners.look(&place)?;
            }
            ahead.extend(parts(&target));
        } else {
            place = next;
            above = found;
        }
    }
    Ok(())
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut parts: Vec<OsString> = parts.collect();
    parts.reverse();
    parts
}

/// Whether everybody may make names in a directory, and change his own only.
fn is_open(directory: &Metadata) -> bool {
    directory.is_dir() && directory.mode() & (WRITABLE_BY_OTHERS | WRITABLE_BY_GROUP) != 0
}

fn not_roots(path: &Path, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{} {why}: only root may decide what is there", path.display()),
    )
}

/// Whose files may be trusted.
struct Owners {
    /// The agent's user.
    own: u32,
    /// In a user namespace: those outside of it, among them the machine's root, who all have one number in it.
    outside: Option<u32>,
}

impl Owners {
    fn read() -> Self {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").unwrap_or_default();
        let is_all = map.split_ascii_whitespace().eq(ALL_USERS);
        Owners {
            own: rustix::process::geteuid().as_raw(),
            outside: overflow.trim().parse().ok().filter(|_| !is_all),
        }
    }

    /// What is at a path, a link not followed, when it is a trusted owner's and nobody else can write into it.
    fn look(&self, path: &Path) -> io::Result<Metadata> {
        let found = fs::symlink_metadata(path)?;
        let owner = found.uid();
        if owner != 0 && owner != self.own && Some(owner) != self.outside {
            return Err(not_roots(path, &format!("belongs to user {owner}")));
        }
        // Everybody may read a link, and its permissions say nothing.
        if found.is_symlink() {
            return Ok(found);
        }
        let mode = found.mode();
        let is_sticky = found.is_dir() && mode & STICKY != 0;
        if is_sticky {
            return Ok(found);
        }
        if mode & WRITABLE_BY_OTHERS != 0 {
            return Err(not_roots(path, "can be written by everybody"));
        }
        if mode & WRITABLE_BY_GROUP != 0 && found.gid() != 0 {
            return Err(not_roots(
                path,
                &format!("can be written by group {}", found.gid()),
            ));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A directory as the agent's user makes them.
    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a", "a/b", "open", "open/inner"] {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(directory.path().join("a/b/file"), "").unwrap();
        fs::write(directory.path().join("open/inner/file"), "").unwrap();
        let mode = |name: &str, mode: u32| {
            let path = directory.path().join(name);
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        mode("a/b/file", 0o644);
        mode("open/inner/file", 0o644);
        mode("open", 0o777);
        directory
    }

    #[test]
    fn what_only_root_can_change_is_roots() {
        let directory = directory();
        let path = |name: &str| directory.path().join(name);
        for name in ["a/b/file", "a/b", "a/b/none", "a/none/none", "a/b/../b/./file"] {
            belongs_to_root(&path(name)).unwrap();
        }
        symlink("b/../b", path("a/link")).unwrap();
        symlink(path("a"), path("absolute")).unwrap();
        belongs_to_root(&path("absolute/link/file")).unwrap();
        // In a directory as /tmp is, everybody's names are his own.
        fs::set_permissions(path("open"), Permissions::from_mode(0o1777)).unwrap();
        belongs_to_root(&path("open/inner/file")).unwrap();
    }

    #[test]
    fn what_others_can_change_is_not_roots_on_any_way() {
        let directory = directory();
        let path = |name: &str| directory.path().join(name);
        let refused = |name: &str| belongs_to_root(&path(name)).unwrap_err().to_string();
        symlink(path("open/inner"), path("a/link")).unwrap();
        symlink("../open/inner/file", path("a/relative")).unwrap();
        symlink("turn", path("a/turn")).unwrap();
        for name in ["open/inner/file", "open/none", "a/link/file", "a/relative"] {
            let error = refused(name);
            let open = path("open");
            assert!(
                error.contains(&format!("{} can be written by everybody", open.display())),
                "{name}: {error}"
            );
        }
        assert!(refused("a/turn").contains("too many links"));
        fs::set_permissions(path("open"), Permissions::from_mode(0o1777)).unwrap();
        // Somebody could make it before.
        assert!(belongs_to_root(&path("open/none")).is_err());
        fs::set_permissions(path("a/b/file"), Permissions::from_mode(0o646)).unwrap();
        assert!(refused("a/b/file").contains("file can be written by everybody"));
    }
}
