//! The drift file when the daemon is killed, and when the disk is full.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Clock, PATIENCE, daemon, ended, new_world, server, start_alone};

/// So long a world that a test ends before it does, seconds.
const LONG_S: u64 = 30_000_000;

const CLOCK: Clock = Clock {
    error_s: 0.01,
    frequency_ppm: 25.0,
    rtc_ahead_s: None,
};

/// Waits until something is so; the daemons are killed when it does not come.
fn wait_for(what: &str, running: &mut [Child], is_so: impl Fn() -> bool) {
    let before = Instant::now();
    while !is_so() {
        if before.elapsed() > PATIENCE {
            kill(running);
            panic!("{what} does not come");
        }
        sleep(Duration::from_millis(2));
    }
}

fn kill(running: &mut [Child]) {
    for child in running {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// The frequency in a drift file, ppm; `None` without one.
fn frequency_ppm(path: &Path) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    assert!(numbers.len() == 2 && text.ends_with('\n'), "{text:?}");
    Some(numbers[0])
}

#[test]
fn a_daemon_that_is_killed_goes_on_with_the_frequency_it_knew() {
    let drift = tempfile::tempdir().unwrap();
    let path = drift.path().join("drift");
    // It is written every second, so that some kills come in the middle of that.
    let configuration = format!(
        "server 10.0.0.1 iburst minpoll 0 maxpoll 0\ndriftfile {} interval 1\n",
        path.display()
    );
    for round in 0..10 {
        let folder = new_world(LONG_S);
        let mut running = [
            server(1, 2, folder.path(), &[]),
            daemon(2, 2, &CLOCK, folder.path(), &[], &configuration),
        ];
        let log = folder.path().join("log.2");
        let said = |text: &str| fs::read_to_string(&log).unwrap().contains(text);
        if round > 0 {
            wait_for("the frequency", &mut running, || said("ppm read from"));
        }
        let before = fs::read_to_string(&path).ok();
        wait_for("the drift", &mut running, || {
            frequency_ppm(&path).is_some() && fs::read_to_string(&path).ok() != before
        });
        sleep(Duration::from_millis(7 * round));
        kill(&mut running);
        let known_ppm = frequency_ppm(&path).unwrap();
        if round > 0 {
            assert!(
                (known_ppm.abs() - 25.0).abs() < 5.0,
                "{known_ppm} ppm in round {round}"
            );
        }
    }
    // What a kill may have left beside it does no harm, and goes with the next line.
    let folder = new_world(400);
    let nodes = [
        (1, server(1, 2, folder.path(), &[])),
        (2, daemon(2, 2, &CLOCK, folder.path(), &[], &configuration)),
    ];
    for (node, child) in nodes {
        let (log, has_succeeded) = ended(node, child, folder.path());
        assert!(has_succeeded, "node {node} has failed: {log}");
    }
    let names: Vec<_> = fs::read_dir(drift.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["drift"]);
}

#[test]
fn a_full_disk_leaves_the_drift_file_as_it_was() {
    let folder = new_world(LONG_S);
    let file = folder.path().join("conf.2");
    let text = "pidfile /\nbindcmdaddress /\ncmdport 0\nuser root\nserver 10.0.0.1 iburst minpoll 0 maxpoll 0\n\
                driftfile /var/full/drift interval 1\n";
    fs::write(&file, text).unwrap();
    let prepare = "mkdir /var/full; mount -t tmpfs -o size=8k tmpfs /var/full; echo '-25.5 0.25' >/var/full/drift; \
                   cat /dev/zero >/var/full/rest 2>/dev/null || :";
    let arguments = ["-d", "-U", "-f", file.to_str().unwrap()];
    let server = server(1, 2, folder.path(), &[]);
    let client = start_alone(2, &CLOCK, folder.path(), prepare, ("timeballd", &arguments), &[]);
    let inside = format!("/proc/{}/root/var/full", client.id());
    let mut running = [server, client];
    let log = folder.path().join("log.2");
    let said = |text: &str| fs::read_to_string(&log).unwrap().contains(text);
    wait_for("the error", &mut running, || {
        said("Could not write /var/full/drift : No space left on device")
    });
    let drift = Path::new(&inside).join("drift");
    assert_eq!(fs::read_to_string(&drift).unwrap(), "-25.5 0.25\n");
    assert!(said("Frequency -25.500 +/- 0.250 ppm read from /var/full/drift"));
    // It goes on, and writes again when there is room.
    fs::remove_file(Path::new(&inside).join("rest")).unwrap();
    wait_for("the drift", &mut running, || {
        fs::read_to_string(&drift).is_ok_and(|text| text != "-25.5 0.25\n")
    });
    assert!((frequency_ppm(&drift).unwrap().abs() - 25.0).abs() < 5.0);
    kill(&mut running);
}
