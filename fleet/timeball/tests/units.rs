//! What people install: the systemd units in `deploy/systemd` say nothing that systemd does not understand, keep
//! the programs in a narrow room, and start commands that exist.
//!
//! systemd-analyze comes with Debian's package systemd and needs no running systemd. It looks at the units in a
//! root directory of their own, where the programs they start and the targets they name are stand-ins.
#![expect(
    clippy::expect_used,
    reason = "a test says what is wrong by panicking, in its helpers too"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const UNITS: [&str; 4] = [
    "timeball-controller.service",
    "timeball-agent.service",
    "timeballd.service",
    "timeball-wait.service",
];

/// What the units start.
const PROGRAMS: [&str; 4] = [
    "usr/local/bin/timeball",
    "usr/local/sbin/timeballd",
    "usr/bin/chmod",
    "usr/bin/ln",
];

/// What the units and systemd's own defaults name.
const TARGETS: [&str; 6] = [
    "basic",
    "multi-user",
    "network",
    "shutdown",
    "sysinit",
    "time-sync",
];

/// Greatest exposure that `systemd-analyze security` may find, in tenths of its scale from 0 to 10.
const EXPOSURE_MAX: &str = "--threshold=30";

fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("a workspace").join("deploy/systemd")
}

fn text(unit: &str) -> String {
    fs::read_to_string(folder().join(unit)).expect("a unit")
}

/// A root directory with stand-ins and with these units.
fn root_with(units: &[(&str, String)]) -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let put = |path: &str, content: &str, mode: u32| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    for program in PROGRAMS {
        put(program, "#!/bin/sh\n", 0o755);
    }
    for target in TARGETS {
        put(
            &format!("usr/lib/systemd/system/{target}.target"),
            "[Unit]\nDescription=Stand-in\n",
            0o644,
        );
    }
    for (unit, content) in units {
        put(&format!("etc/systemd/system/{unit}"), content, 0o644);
    }
    root
}

fn systemd_analyze(root: &TempDir, arguments: &[&str]) -> Output {
    Command::new("systemd-analyze")
        .arg(arguments[0])
        .arg(format!("--root={}", root.path().display()))
        .args(&arguments[1..])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("systemd-analyze is needed: install Debian's package systemd")
}

/// What `systemd-analyze verify` has to say; nothing when all is well. An unknown key is only a warning to it, so
/// that its exit status alone does not tell.
fn verify(unit: &str, content: String) -> Result<(), String> {
    let output = systemd_analyze(&root_with(&[(unit, content)]), &["verify", unit]);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    if output.status.success() && said.trim().is_empty() {
        Ok(())
    } else {
        Err(format!("{}: {said}", output.status))
    }
}

#[test]
fn systemd_understands_every_line() {
    for unit in UNITS {
        assert_eq!(verify(unit, text(unit)), Ok(()), "{unit}");
    }
}

#[test]
fn a_mistake_in_a_unit_would_be_seen() {
    for (right, wrong) in [
        ("NoNewPrivileges=yes", "NoNewPrivilege=yes"),
        ("ProtectHome=yes", "ProtectHome=perhaps"),
        (
            "SystemCallFilter=@system-service",
            "SystemCallFilter=@system-servic",
        ),
        ("/bin/timeball ", "/bin/timebal "),
        ("/sbin/timeballd ", "/sbin/timebald "),
    ] {
        for unit in UNITS {
            let mistaken = text(unit).replace(right, wrong);
            if mistaken == text(unit) {
                assert!(right.contains("bin/timeball"), "{unit} has no {right}");
                continue;
            }
            assert!(verify(unit, mistaken).is_err(), "{unit} with {wrong}");
        }
    }
}

#[test]
fn the_room_is_narrow() {
    for unit in UNITS {
        let exposure = |content: String| {
            let root = root_with(&[(unit, content)]);
            systemd_analyze(&root, &["security", "--offline=yes", EXPOSURE_MAX, unit])
        };
        let measured = exposure(text(unit));
        let table = String::from_utf8_lossy(&measured.stdout).into_owned();
        assert!(measured.status.success(), "{unit} is exposed too much:\n{table}");
        assert!(table.contains("Overall exposure level"), "{table}");

        let open = text(unit)
            .replace("SystemCallFilter=", "# ")
            .replace("Protect", "# ");
        assert!(
            !exposure(open).status.success(),
            "{unit} without protection would be seen"
        );
    }
}

/// Restrictions that would break the program in ways that no tool reports; each is told of in the unit.
#[test]
fn restrictions_that_would_blind_the_programs_are_left_out() {
    let sets = |unit: &str, key: &str| {
        text(unit)
            .lines()
            .any(|line| line.starts_with(&format!("{key}=")))
    };
    for (unit, key) in [
        // The boot's id, by which the store tells a restart from a boot, is below /proc/sys.
        ("timeball-controller.service", "ProcSubset"),
        // A unit with a host name of its own never hears of a new one.
        ("timeball-agent.service", "ProtectHostname"),
        // Another agent command's temporary files are told from leftovers by its process.
        ("timeball-agent.service", "ProtectProc"),
        ("timeball-agent.service", "ProcSubset"),
        ("timeball-agent.service", "PrivateUsers"),
    ] {
        assert!(!sets(unit, key), "{unit} sets {key}");
    }
    let agent = text("timeball-agent.service");
    // chronyd's unit removes /run/chrony when it stops: a path below /run would lead to the removed directory.
    assert!(agent.contains(
        "\nReadWritePaths=-/etc/chrony -/etc/chrony.d -/etc/timeball/sources.d -/etc/timeball/conf.d /run\n"
    ));
    // ntpd's and OpenNTPD's directories, and timesyncd's, which is made where there is none.
    assert!(agent.contains("\nReadWritePaths=-/etc/ntpsec -/etc/ntp.d -/etc/openntpd\n"));
    assert!(agent.contains("\nConfigurationDirectory=systemd/timesyncd.conf.d\n"));
    assert!(agent.contains("\nKillMode=mixed\n"));
    for unit in UNITS {
        assert!(!text(unit).contains("\nAfter=network-online.target"), "{unit}");
        let wants: Vec<String> = text(unit)
            .lines()
            .filter(|line| line.starts_with("Wants="))
            .map(str::to_owned)
            .collect();
        assert!(
            wants.iter().all(|line| line == "Wants=time-sync.target"),
            "{unit}: {wants:?}"
        );
    }
    // Its work is what the restriction forbids.
    assert!(!sets("timeballd.service", "ProtectClock"));
}

/// The daemon leaves the clock to nobody else, and those who wait for the right time wait for it.
#[test]
fn one_service_keeps_the_clock_and_the_target_waits_for_it() {
    let daemon = text("timeballd.service");
    let conflicts = daemon
        .lines()
        .find_map(|line| line.strip_prefix("Conflicts="))
        .expect("it leaves the clock to nobody else");
    for other in [
        "chrony",
        "chronyd",
        "ntp",
        "ntpsec",
        "openntpd",
        "systemd-timesyncd",
    ] {
        assert!(
            conflicts
                .split(' ')
                .any(|unit| unit == format!("{other}.service")),
            "{other}"
        );
    }
    for unit in ["timeballd.service", "timeball-wait.service"] {
        assert!(text(unit).contains("\nBefore=time-sync.target\n"), "{unit}");
    }
    assert!(text("timeball-wait.service").contains("\nAfter=timeballd.service "));
    for capability in ["CAP_SYS_TIME", "CAP_NET_BIND_SERVICE"] {
        assert!(daemon.contains(capability), "{capability}");
    }
    assert!(!daemon.contains("CAP_SYS_ADMIN"));
}

/// The configuration that is installed with the daemon is understood, and serves nobody.
#[test]
fn the_packaged_configuration_is_understood() {
    let file = folder().with_file_name("timeballd.conf");
    let check = Command::new(env!("CARGO_BIN_EXE_timeball"))
        .args(["config", "check"])
        .arg(&file)
        .output()
        .expect("timeball runs");
    let said = String::from_utf8_lossy(&check.stdout);
    assert!(said.contains("would start: no errors, no warnings"), "{said}");
    let config = fs::read_to_string(&file).expect("a configuration");
    assert!(!config.lines().any(|line| line.starts_with("allow")));
}

#[test]
fn the_units_start_commands_that_exist() {
    for unit in UNITS {
        let content = text(unit);
        let found = content
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/timeball "));
        let Some(started) = found else {
            // timeballd's flags are those of chronyd; `-n` keeps it in the foreground.
            assert!(
                content.contains("\nExecStart=!/usr/local/sbin/timeballd -n\n"),
                "{unit}"
            );
            continue;
        };
        let started = started.split(" --").next().expect("a command");
        let help = Command::new(env!("CARGO_BIN_EXE_timeball"))
            .args(started.split(' '))
            .arg("--help")
            .output()
            .expect("timeball runs");
        let said = String::from_utf8_lossy(&help.stdout);
        assert!(help.status.success(), "timeball {started}: {said}");
        assert!(said.contains(&format!("Usage: timeball {started}")), "{said}");
    }
}
