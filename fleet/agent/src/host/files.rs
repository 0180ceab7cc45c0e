//! Files of the real machine: atomic, on the disk, and never through a symbolic link.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;

use super::Access;

/// Counts the temporary files and sockets of this process, so that no two have one name.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// What is added to the names of temporary files. They are hidden, too, so that chronyd does not read them.
const TEMPORARY: &str = ".tmp";

/// What the agent's sockets end with.
pub(super) const SOCKET: &str = ".sock";

/// A name in `directory` that nobody else uses: `timeball.PID.N` with this ending.
pub(super) fn own_name(directory: &Path, hidden: bool, ending: &str) -> PathBuf {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let dot = if hidden { "." } else { "" };
    directory.join(format!("{dot}timeball.{}.{number}{ending}", std::process::id()))
}

/// The process that made a temporary file or socket of this name.
fn maker(name: &str) -> Option<u32> {
    let rest = match name.strip_suffix(TEMPORARY) {
        Some(rest) => rest.strip_prefix(".timeball.")?,
        None => name.strip_suffix(SOCKET)?.strip_prefix("timeball.")?,
    };
    let (process, number) = rest.split_once('.')?;
    number.parse::<u64>().ok()?;
    process.parse().ok()
}

pub(super) fn sweep(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(maker) else {
            continue;
        };
        // Another agent command may be at work right now.
        let alive = process == std::process::id() || Path::new(&format!("/proc/{process}")).exists();
        if !alive {
            tracing::debug!(path = %entry.path().display(), "removing what an interrupted agent left");
            // The next start tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

pub(super) fn make_directory(path: &Path, access: Access) -> io::Result<()> {
    let mode = match access {
        Access::Public | Access::Kept => 0o755,
        Access::Private => 0o700,
    };
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    // The mode was cut by the umask. The directory above may be somebody else's, who could put a link in its place.
    let made = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed())
        .open(path)?;
    made.set_permissions(Permissions::from_mode(mode))?;
    sync_directory_of(path)
}

pub(super) fn replace(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let former = former(path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let temporary = own_name(directory, true, TEMPORARY);
    let written = write_new(
        &temporary,
        content,
        mode_of(former.as_ref(), access),
        former.as_ref(),
    )
    .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // What cannot be removed now is removed at the agent's next start.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory_of(path)
}

/// The file that will be replaced, if there is one.
fn former(path: &Path) -> io::Result<Option<fs::Metadata>> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if found.is_file() {
        return Ok(Some(found));
    }
    let text = match fs::read_link(path) {
        Ok(target) => link_text(path, &target),
        Err(_) => format!("{} is no regular file; remove it first", path.display()),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Why nothing is written through a link, and what to do: whoever made it may have other plans with what it leads to.
fn link_text(path: &Path, target: &Path) -> String {
    // One that is relative counts from the link's directory.
    let target = path.parent().unwrap_or(Path::new("/")).join(target);
    let (shown, link) = (target.display(), path.display());
    if target.exists() {
        format!(
            "{link} is a symbolic link to {shown}, and the agent changes no file through a link; if that file need not be \
             the one that others use, too, put it in the link's place (`cp --remove-destination {shown} {link}`)"
        )
    } else {
        format!("{link} is a symbolic link to {shown}, which does not exist; remove the link (`rm {link}`)")
    }
}

fn mode_of(former: Option<&fs::Metadata>, access: Access) -> u32 {
    match (access, former) {
        (Access::Private, _) => 0o600,
        (Access::Kept, Some(former)) => former.mode() & 0o7777,
        (Access::Public | Access::Kept, _) => 0o644,
    }
}

fn write_new(path: &Path, content: &[u8], mode: u32, owner: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    if let Some(owner) = owner {
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (owner.uid(), owner.gid()) {
            std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

pub(super) fn append(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let is_new = former(path)?.is_none();
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(mode_of(None, access))
        .open(path)?;
    file.write_all(content)?;
    file.sync_data()?;
    if is_new {
        sync_directory_of(path)?;
    }
    Ok(())
}

/// Waits until the names in the directory of `path` are on the disk.
pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("timeball.sources");
        for content in ["one", "two"] {
            replace(&path, content.as_bytes(), Access::Public).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
        }
        replace(&path, b"secret", Access::Private).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        replace(&path, b"kept", Access::Kept).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, path) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &path).unwrap();
        let refused = |path: &Path| replace(path, b"new", Access::Public).unwrap_err().to_string();
        let (shown, link) = (target.display(), path.display());
        let told = format!("{link} is a symbolic link to {shown}, and");
        let remedy = format!("(`cp --remove-destination {shown} {link}`)");
        let error = refused(&path);
        assert!(error.starts_with(&told) && error.ends_with(&remedy), "{error}");
        assert!(append(&path, b"new", Access::Public).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());

        let relative = directory.path().join("relative");
        symlink("target", &relative).unwrap();
        assert!(refused(&relative).contains(&format!("is a symbolic link to {shown}, and")));
        fs::remove_file(&target).unwrap();
        let error = refused(&path);
        assert!(
            error.ends_with(&format!(
                "to {shown}, which does not exist; remove the link (`rm {link}`)"
            )),
            "{error}"
        );
    }

    #[test]
    fn a_failed_write_leaves_the_former_file_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"x", Access::Public).is_err());
        assert!(replace(&directory.path().join("none/file"), b"x", Access::Public).is_err());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn only_what_dead_agents_left_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        let touch = |name: &str| fs::write(directory.path().join(name), "").unwrap();
        let own = format!(".timeball.{}.0.tmp", std::process::id());
        // No process can have this id: the greatest is 2^22.
        for name in [
            ".timeball.9999999.3.tmp",
            "timeball.9999999.3.sock",
            &own,
            "timeball.sources",
            "timeball.x.sock",
        ] {
            touch(name);
        }
        sweep(directory.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = [own.as_str(), "timeball.sources", "timeball.x.sock"];
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
}
