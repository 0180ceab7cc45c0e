//! The systemd units under a real systemd: booted in a container, they start the programs, which manage each other
//! there.
//!
//! systemd-nspawn comes with Debian's package systemd-container, and wants root.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
#[ignore = "boots a system, as root: `./test slow` does it"]
fn the_units_start_what_manages_each_other() {
    let folder = tempfile::tempdir().expect("a directory");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/booted");
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
    let timeball = Path::new(env!("CARGO_BIN_EXE_timeball"));
    let copy = |from: &Path, name: &str| {
        fs::copy(from, folder.path().join(name))
            .unwrap_or_else(|error| panic!("{}: {error}; build the workspace first", from.display()));
    };
    copy(timeball, "timeball");
    copy(&timeball.with_file_name("timeballd"), "timeballd");
    copy(&tests.join("story.sh"), "story.sh");
    fs::create_dir(folder.path().join("units")).expect("a directory");
    for unit in fs::read_dir(units).expect("the units").flatten() {
        if unit
            .path()
            .extension()
            .is_some_and(|extension| extension == "service")
        {
            copy(&unit.path(), &format!("units/{}", unit.file_name().display()));
        }
    }
    // Its mounts are its own, and gone with it.
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-eu"])
        .arg(tests.join("boot.sh"))
        .arg(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("unshare");
    let log = fs::read_to_string(folder.path().join("result/story.log")).unwrap_or_default();
    assert!(
        log.ends_with("\nthe story is complete\n"),
        "{log}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
