//! A host whose clock a real chronyd keeps: timeballd sees it, measures the clock and leaves it alone.
//!
//! chronyd serves here, so that it has the NTP port, and has its pid file where Debian has it. It runs with `-x`, as nobody
//! can set the clock here; timeballd only believes that it may ([`believes`]) and would end if it tried.

use std::fs;
use std::path::Path;

use crate::believes;
use crate::programs::start_chronyd;
use crate::world::{Host, World, inside, needed};

/// Where Debian's chronyd writes which process it is.
const PID_FILE: &str = "/run/chrony/chronyd.pid";

/// What a container has for itself where it shares the network of its host.
const CONTAINER: &str = "mount -t tmpfs tmpfs /run; exec \"$@\"";

/// How a daemon says that it only looks.
const REFUSAL: &str = "The clock is measured and not steered, because it has another keeper : ";

/// Starts the host's own chronyd.
fn start_keeper(world: &World) {
    let file = world.write(
        "keeper.conf",
        &format!("server 192.0.2.11 iburst\nallow\npidfile {PID_FILE}\ncmdport 0\nbindcmdaddress /run/chrony/chronyd.sock\n"),
    );
    world.run(Host::Ours, "install", &["-d", "-m", "750", "/run/chrony"]);
    let program = std::env::var("CHRONYD").unwrap_or_else(|_| needed(Path::new("/usr/sbin/chronyd")));
    let arguments = ["-d", "-x", "-u", "root", "-f", &file];
    world.start(Host::Ours, "keeper", &program, &arguments);
    world.wait_until("the keeper follows its server", || {
        let log = world.log("keeper");
        if log.contains("Selected source") {
            Ok(())
        } else {
            Err(log)
        }
    });
}

/// Starts timeballd as its image does, which minds others; `before` becomes the daemon.
fn start_daemon(world: &World, name: &str, before: &[&str], lines: &str) {
    let text = format!(
        "server 192.0.2.11 iburst minpoll 0 maxpoll 0\ncmdport 0\npidfile /\nbindcmdaddress @DIR@/{name}.sock\n\
         driftfile @DIR@/{name}/drift\n{lines}\n"
    );
    // One lock for all would tell them of each other.
    fs::create_dir(world.path(name)).unwrap();
    let file = world.write(&format!("{name}.conf"), &text);
    let library = believes::library(&world.path(name));
    let program = env!("CARGO_BIN_EXE_timeballd");
    let command = [before, &[program, "-d", "-u", "root", "-f", &file]].concat();
    let environment = [("LD_PRELOAD", library.to_str().unwrap()), ("container", "oci")];
    world.start_with(Host::Ours, name, command[0], &command[1..], &environment);
}

/// Waits until a daemon is synchronised, and looks whether it has told from the first why it does not steer.
#[track_caller]
fn observes(world: &World, name: &str, reason: &str) {
    let socket = world.path(&format!("{name}.sock"));
    let ask = |word: &str| {
        let arguments = ["ctl", "-h", socket.to_str().unwrap(), word];
        world.attempt(Host::Ours, env!("CARGO_BIN_EXE_timeballd"), &arguments, &[])
    };
    world.wait_until("it is synchronised", || match ask("ready") {
        (text, true) => Ok(text),
        (text, false) => Err(text + &world.log(name)),
    });
    let log = world.log(name);
    assert!(log.contains(&format!("{REFUSAL}{reason}")), "{log}");
    assert!(!log.contains("the clock is written"), "{log}");
    let (status, _) = ask("status");
    assert!(
        status.contains(&format!("\nClock         : not steered : {reason}")),
        "{status}"
    );
}

#[test]
fn the_clock_that_a_real_chronyd_keeps_is_left_to_it() {
    inside(|world| {
        start_chronyd(world, "local stratum 2\nallow\nport 123");
        start_keeper(world);
        start_daemon(world, "beside", &[], "");
        observes(
            world,
            "beside",
            &format!("chronyd runs on this host: there is {PID_FILE}"),
        );
        // From a container that sees nothing of the host but its network.
        let container = ["unshare", "--mount", "sh", "-euc", CONTAINER, "sh"];
        start_daemon(world, "contained", &container, "");
        observes(
            world,
            "contained",
            "another NTP daemon has UDP port 123 of this host",
        );
        assert!(world.stop("beside") && world.stop("contained"));
        // Who is told not to look would steer.
        start_daemon(world, "blind", &[], "timeball.conflict ignore");
        world.wait_until("it steers", || {
            let log = world.log("blind");
            if log.contains("the clock is written") {
                Ok(())
            } else {
                Err(log)
            }
        });
    });
}
