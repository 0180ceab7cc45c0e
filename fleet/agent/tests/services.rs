//! The providers against the real daemons: NTPsec's ntpd, OpenNTPD's, systemd-timesyncd, and timeballd under ntpd's name.
//! What a daemon's own tool then says is compared with what was asked. Each test is a host of its own, in which nobody can
//! set the clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use agent::Service;
use model::ntp::{DriftKind, SyncState};
use model::{Failure, FailureKind, Operation, Outcome};

mod world;

use world::{Daemon, World, inside, list};

/// Makes tests of functions of this file, with a daemon each.
macro_rules! for_each {
    ($($module:ident $daemon:ident;)+) => {
        $(mod $module {
            use super::Daemon::$daemon;

            #[test]
            fn servers_are_created_updated_and_deleted() {
                super::inside($daemon, |world| super::servers_are_created_updated_and_deleted(world));
            }

            #[test]
            fn what_fails_is_undone() {
                super::inside($daemon, |world| super::what_fails_is_undone(world));
            }

            #[test]
            fn an_interrupted_change_is_put_right() {
                super::inside($daemon, |world| super::an_interrupted_change_is_put_right(world));
            }
        })+
    };
}

for_each! {
    ntpsec Ntpsec;
    openntpd Openntpd;
    timesyncd Timesyncd;
}

fn create(servers: &[&str]) -> Operation {
    Operation::NtpCreate(list(servers))
}

fn update(servers: &[&str]) -> Operation {
    Operation::NtpUpdate(list(servers))
}

#[track_caller]
fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn changed(world: &World, operation: &Operation) -> Vec<String> {
    match world.perform(operation) {
        Outcome::Changed(change) => {
            assert_eq!(change.path, world.daemon.managed());
            change.notes
        }
        other => panic!("{other:?}\n{}", world.log()),
    }
}

#[track_caller]
fn assert_unchanged(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Unchanged(_)), "{outcome:?}");
}

/// Until it answers at first.
fn wait_for_daemon(world: &World) {
    world.eventually("the daemon answers", || match world.perform(&Operation::NtpGet) {
        Outcome::Status(_) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

fn servers_are_created_updated_and_deleted(world: &World) {
    let daemon = world.daemon;
    // timesyncd takes what stands in the managed file in the place of everything else.
    let own = if daemon == Daemon::Timesyncd {
        None
    } else {
        Some("own.lab")
    };
    let with_own = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().copied().chain(own).map(str::to_owned).collect();
        names.sort();
        names
    };
    wait_for_daemon(world);
    let before = world.get();
    assert_eq!(before.service, daemon.name());
    assert!(!before.managed && before.drift.is_none(), "{before:?}");
    assert_eq!(before.servers, ["own.lab"]);
    assert!(
        before.other_servers[0].ends_with(&format!("own.lab ({})", daemon.own_place()))
            || before.other_servers[0].ends_with(&format!("({})", daemon.own_place())),
        "{:?}",
        before.other_servers
    );
    let files = world.read(daemon.config());
    for operation in [update(&["ntp1.lab"]), Operation::NtpDelete] {
        assert_eq!(failure(world.perform(&operation)).kind, FailureKind::NotManaged);
    }

    let notes = changed(world, &create(&["ntp1.lab", "192.0.2.77"])).join(", ");
    assert_eq!(world.sources_of_daemon(), with_own(&["192.0.2.77", "ntp1.lab"]));
    if own.is_some() {
        let place = format!("({})", daemon.own_place());
        assert!(
            notes.contains("also configured: ") && notes.contains(&place),
            "{notes}"
        );
    } else {
        assert_eq!(notes, "", "nothing else counts");
    }
    let status = world.get();
    assert!(status.managed && status.drift.is_none(), "{status:?}");
    assert_eq!(status.servers, ["ntp1.lab", "192.0.2.77"]);
    let restarts = world.restarts();
    assert_unchanged(&world.perform(&create(&["ntp1.lab", "192.0.2.77"])));
    assert_unchanged(&world.perform(&update(&["ntp1.lab", "192.0.2.77"])));
    let refused = failure(world.perform(&create(&["ntp2.lab"])));
    assert_eq!(refused.kind, FailureKind::AlreadyManaged);
    assert!(refused.error.contains("it has 192.0.2.77, ntp1.lab"), "{refused}");
    let refused = failure(world.perform(&update(&["ntp2.lab+xleave"])));
    assert_eq!(refused.kind, FailureKind::NotExpressible);
    assert!(refused.error.contains("cannot be told xleave"), "{refused}");
    assert_eq!(world.restarts(), restarts, "nothing was to be done");

    let written = world.read(daemon.managed());
    world.write(daemon.managed(), &written.replace("ntp1.lab", "ntp2.lab"));
    assert_eq!(world.get().drift.unwrap().kind, DriftKind::Edited);
    changed(world, &update(&["ntp2.lab"]));
    assert_eq!(world.sources_of_daemon(), with_own(&["ntp2.lab"]));
    assert_eq!(world.get().drift, None);
    changed(world, &Operation::NtpDelete);
    assert_ended(world, &files);

    // Where somebody else has taken the servers out already, the daemon is still to be told.
    changed(world, &create(&["ntp1.lab"]));
    match daemon.managed() == daemon.config() {
        true => world.write(daemon.config(), &files),
        false => drop(world.sh(&format!("rm {}", daemon.managed()))),
    }
    let status = world.get();
    assert_eq!(status.drift.unwrap().kind, DriftKind::Missing);
    assert_eq!(status.servers, ["ntp1.lab"]);
    changed(world, &Operation::NtpDelete);
    assert_ended(world, &files);
}

/// Nothing is left of what was managed.
#[track_caller]
fn assert_ended(world: &World, files: &str) {
    assert_eq!(world.sources_of_daemon(), ["own.lab"]);
    assert_eq!(world.read(world.daemon.config()), files);
    let status = world.get();
    assert!(!status.managed && status.drift.is_none(), "{status:?}");
    assert_eq!(status.servers, ["own.lab"]);
}

fn what_fails_is_undone(world: &World) {
    let daemon = world.daemon;
    wait_for_daemon(world);
    changed(world, &create(&["ntp1.lab"]));
    let file = world.read(daemon.managed());
    let sources = world.sources_of_daemon();

    world.write("/run/lab/refusal", "");
    let refused = failure(world.perform(&update(&["ntp2.lab"])));
    assert_eq!(refused.kind, FailureKind::DaemonRefused);
    assert!(refused.error.contains("service failed."), "{refused}");
    // Going back needs a restart, too; but nobody has restarted it.
    assert_eq!(refused.rolled_back, Some(true));
    assert!(refused.error.contains("was not restarted"), "{refused}");
    assert_eq!(world.read(daemon.managed()), file);
    world.sh("rm /run/lab/refusal");
    assert_eq!(world.sources_of_daemon(), sources);

    let directory = std::path::Path::new(daemon.managed()).parent().unwrap().display();
    world.sh(&format!(
        "mount --bind {directory} {directory}; mount -o remount,bind,ro {directory}"
    ));
    let refused = failure(world.perform(&update(&["ntp2.lab"])));
    assert_eq!((refused.kind, refused.rolled_back), (FailureKind::File, None));
    assert!(refused.error.contains("Read-only file system"), "{refused}");
    world.sh(&format!("umount {directory}"));
    assert_eq!(world.read(daemon.managed()), file);

    world.systemctl("stop");
    for operation in [update(&["ntp2.lab"]), Operation::NtpDelete, Operation::NtpGet] {
        let outcome = agent::perform(&world.settings(daemon.service()), &operation).unwrap();
        let refused = failure(outcome.outcome);
        assert_eq!(refused.kind, FailureKind::DaemonUnreachable, "{refused}");
        assert!(
            refused.error.contains("is it running? (`systemctl status "),
            "{refused}"
        );
    }
    assert_eq!(world.read(daemon.managed()), file);
}

fn an_interrupted_change_is_put_right(world: &World) {
    let daemon = world.daemon;
    wait_for_daemon(world);
    changed(world, &create(&["ntp1.lab"]));
    let own = if daemon == Daemon::Timesyncd {
        None
    } else {
        Some("own.lab")
    };
    let sources = |name: &str| {
        let mut names: Vec<&str> = own.into_iter().chain([name]).collect();
        names.sort_unstable();
        names.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    world.killed_in(&update(&["ntp2.lab"]));
    assert!(
        world.read(daemon.managed()).contains("ntp2.lab"),
        "it was written"
    );
    assert_eq!(
        world.sources_of_daemon(),
        sources("ntp1.lab"),
        "and not taken over"
    );
    // The agent's next start finishes what was begun.
    let status = world.get();
    assert_eq!(status.servers, ["ntp2.lab"]);
    assert!(status.drift.is_none(), "{status:?}");
    assert_eq!(world.sources_of_daemon(), sources("ntp2.lab"));

    // Where that fails, it is undone.
    let before = world.read(daemon.managed());
    world.killed_in(&update(&["ntp1.lab"]));
    let written = world.read(daemon.managed());
    let torn = written.replace("ntp1.lab", "ntp3.invalid");
    assert_ne!(torn, written);
    world.write(daemon.managed(), &torn);
    assert_eq!(world.get().drift.unwrap().kind, DriftKind::Edited);
    assert_eq!(world.read(daemon.managed()), torn, "somebody else's change stays");
    changed(world, &update(&["ntp2.lab"]));
    assert_eq!(world.read(daemon.managed()), before);
}

#[test]
fn ntpsec_is_reported_as_ntpq_reports_it() {
    inside(Daemon::Ntpsec, |world| {
        wait_for_daemon(world);
        changed(
            world,
            &create(&["ntp1.lab+minpoll=3+maxpoll=4+prefer", "pool.lab+pool"]),
        );
        let status = world.eventually("the clock is synchronised", || {
            let status = world.get();
            match status.state {
                SyncState::Synchronized => Ok(status),
                _ => Err(format!("{status:?}")),
            }
        });
        assert_eq!(status.stratum, Some(4));
        assert_eq!(
            status.service_version.as_deref().map(|version| &version[..7]),
            Some("ntpsec-")
        );
        let bound = status.offset_s.unwrap().abs()
            + status.root_delay_s.unwrap() / 2.0
            + status.root_dispersion_s.unwrap();
        assert!((status.error_bound_s.unwrap() - bound).abs() < 1e-12 && bound > 0.0);
        assert!(status.offset_s.unwrap().abs() < 0.1, "{status:?}");
        // The same as in ntpq's table, whose first column is the state.
        let table = world.ntpq(&["-w", "-p"]);
        let followed = table.lines().find_map(|line| line.strip_prefix('*')).unwrap();
        let name = followed.split_whitespace().next().unwrap();
        assert_eq!(status.current_source.as_deref(), Some(name), "{table}");
        let source = status
            .sources
            .iter()
            .find(|source| source.name == "ntp1.lab")
            .unwrap();
        assert_eq!(source.address.as_deref(), Some("192.0.2.11"), "{table}");
        assert_eq!(
            (source.mode.as_str(), source.stratum, source.poll),
            ("server", 3, 3)
        );
        assert!(
            source.reach & 1 == 1 && source.last_sample_s.unwrap() < 60,
            "{source:?}"
        );
    });
}

#[test]
fn timesyncd_is_reported_as_timedatectl_reports_it() {
    inside(Daemon::Timesyncd, |world| {
        wait_for_daemon(world);
        changed(world, &create(&["ntp1.lab"]));
        let status = world.eventually("the clock is synchronised", || {
            let status = world.get();
            match status.state {
                SyncState::Synchronized => Ok(status),
                _ => Err(format!("{status:?}")),
            }
        });
        let told = world.sh("timedatectl show-timesync");
        assert!(
            told.contains("\nServerAddress=192.0.2.11\n") && told.contains(" Stratum=3,"),
            "{told}"
        );
        assert_eq!(status.stratum, Some(4));
        assert_eq!(status.current_source.as_deref(), Some("ntp1.lab"));
        let source = &status.sources[0];
        assert_eq!(source.address.as_deref(), Some("192.0.2.11"));
        assert!(
            status.offset_s.unwrap().abs() < 0.1 && status.error_bound_s.unwrap() < 0.2,
            "{status:?}"
        );

        // Another drop-in that takes all servers away is named before anything is touched.
        world.write("/run/systemd/timesyncd.conf.d/z.conf", "[Time]\nNTP=\n");
        let refused = failure(world.perform(&update(&["ntp2.lab"])));
        assert_eq!(refused.kind, FailureKind::NoPlace);
        assert!(
            refused.error.contains("/run/systemd/timesyncd.conf.d/z.conf:2"),
            "{refused}"
        );
    });
}

#[test]
fn openntpd_is_reported_as_ntpctl_reports_it_and_its_checker_is_heeded() {
    inside(Daemon::Openntpd, |world| {
        wait_for_daemon(world);
        let long =
            "a-name-that-does-not-fit.into-the-line-that-ntpctl-has-for-it.and-is-cut.therefore.invalid";
        changed(world, &create(&["ntp1.lab", "pool.lab+pool", long]));
        let status = world.eventually("two sources are valid", || {
            let status = world.get();
            let valid = status.sources.iter().filter(|source| source.state != "unusable");
            match valid.count() {
                0 | 1 => Err(format!("{status:?}")),
                _ => Ok(status),
            }
        });
        assert!(status.drift.is_none(), "{status:?}");
        assert!(
            status.error_bound_s.is_none() && status.notes[0].contains("greatest error"),
            "{status:?}"
        );
        let source = status
            .sources
            .iter()
            .find(|source| source.name == "ntp1.lab")
            .unwrap();
        assert_eq!(
            (source.address.as_deref(), source.stratum, source.mode.as_str()),
            (Some("192.0.2.11"), 3, "server")
        );
        let unresolved = status.sources.iter().find(|source| source.name == long).unwrap();
        assert_eq!(
            (unresolved.address.as_deref(), unresolved.state.as_str()),
            (None, "unusable")
        );

        // A mistake in the host's own part would keep it from starting again, whatever is asked for.
        let text = world.read(Daemon::Openntpd.config());
        let mistaken = text.replace("server own.lab", "server own.lab colour red");
        world.write(Daemon::Openntpd.config(), &mistaken);
        let restarts = world.restarts();
        for operation in [update(&["ntp2.lab"]), Operation::NtpDelete] {
            let refused = failure(world.perform(&operation));
            assert_eq!(
                (refused.kind, refused.rolled_back),
                (FailureKind::DaemonRefused, None)
            );
            assert!(
                refused.error.contains("own configuration as it is")
                    && refused.error.contains("/etc/openntpd/ntpd.conf:2: syntax error"),
                "{refused}"
            );
            assert_eq!(world.read(Daemon::Openntpd.config()), mistaken);
            assert_eq!(world.restarts(), restarts);
        }
        world.sh("ntpctl -s status");
    });
}

/// Lets programs named ntpd open no configuration but their own.
const PROFILE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static FILE *look(const char *name, const char *path, const char *mode) {
    FILE *(*next)(const char *, const char *) = dlsym(RTLD_NEXT, name);
    const char *own = "/etc/openntpd/ntpd.conf";
    if (!strcmp(program_invocation_short_name, "ntpd") && strstr(path, ".conf") && strcmp(path, own)) {
        errno = EACCES;
        return NULL;
    }
    return next(path, mode);
}

FILE *fopen(const char *path, const char *mode) { return look("fopen", path, mode); }
FILE *fopen64(const char *path, const char *mode) { return look("fopen64", path, mode); }
"#;

#[test]
fn openntpds_checker_is_asked_where_a_security_module_lets_it_look() {
    inside(Daemon::Openntpd, |world| {
        wait_for_daemon(world);
        // Debian's profile lets it read its configuration, and nothing else.
        world.write("/run/lab/profile.c", PROFILE);
        world.sh("cc -shared -fPIC -o /run/lab/profile.so /run/lab/profile.c -ldl
             echo /run/lab/profile.so >/etc/ld.so.preload");
        let own = world.read(Daemon::Openntpd.config());
        world.write(Daemon::Openntpd.config(), &format!("{own}servr typo.lab\n"));
        let refused = failure(world.perform(&create(&["ntp1.lab"])));
        assert!(refused.error.contains("ntpd.conf:3: syntax error"), "{refused}");
        assert_eq!(world.restarts(), 0);

        // A checker that cannot be used is told.
        world.write(Daemon::Openntpd.config(), &own);
        let program = Daemon::Openntpd.program();
        world.write("/run/lab/another", "#!/bin/sh\nexec /run/lab/ntpd \"$@\"\n");
        world.sh(&format!(
            "cp {program} /run/lab/ntpd; chmod 755 /run/lab/another; mount --bind /run/lab/another {program}"
        ));
        let notes = changed(world, &create(&["ntp1.lab"])).join(", ");
        assert!(
            notes.contains("checker did not look at the new file")
                && notes.contains("was replaced or removed after it was started"),
            "{notes}"
        );
    });
}

#[test]
fn a_block_that_lost_a_mark_is_told_and_left_to_the_operator() {
    inside(Daemon::Openntpd, |world| {
        wait_for_daemon(world);
        let own = world.read(Daemon::Openntpd.config());
        changed(world, &create(&["ntp1.lab"]));
        let whole = world.read(Daemon::Openntpd.config());
        let torn = whole.replace("# End of what timeball manages.\n", "");
        assert_ne!(torn, whole);
        world.write(Daemon::Openntpd.config(), &torn);
        let place = "/etc/openntpd/ntpd.conf:3 begins managed servers";
        let drift = world.get().drift.unwrap();
        assert!(
            drift.kind == DriftKind::Edited && drift.detail.contains(place),
            "{drift:?}"
        );
        for operation in [update(&["ntp2.lab"]), Operation::NtpDelete] {
            let refused = failure(world.perform(&operation));
            assert!(
                refused.kind == FailureKind::File && refused.error.contains(place),
                "{refused}"
            );
            assert_eq!(world.read(Daemon::Openntpd.config()), torn);
        }
        // Both remedies.
        world.write(Daemon::Openntpd.config(), &whole);
        assert_eq!(world.get().drift, None);
        world.write(Daemon::Openntpd.config(), &own);
        let drift = world.get().drift.unwrap();
        assert!(
            drift.kind == DriftKind::Missing && drift.detail.contains("taken out of /etc/openntpd/ntpd.conf"),
            "{drift:?}"
        );
        changed(world, &Operation::NtpDelete);
        assert_ended(world, &own);
    });
}

#[test]
fn openntpd_takes_an_address_in_any_form() {
    inside(Daemon::Openntpd, |world| {
        wait_for_daemon(world);
        changed(world, &create(&["2001:DB8::5"]));
        assert_unchanged(&world.perform(&update(&["2001:DB8::5"])));
        assert_eq!(world.get().drift, None);
    });
}

/// A program that another user could have chosen, under the daemon's name; and one that root trusts, run under that name,
/// as `sudo` can be by anybody. Both have the command line that they like.
const PRETENDERS: &str = "
mkdir -p /run/lab/open /run/lab/link /run/lab/part
chmod 777 /run/lab/open
cp /bin/bash /run/lab/open/ntpd
ln -s /bin/bash /run/lab/link/ntpd
cp /bin/sleep /run/lab/part/ntpd
printf '#!/bin/sh\\necho \"$0 $*\" >>/run/lab/abused\\n' >/run/lab/abuse
chmod 755 /run/lab/abuse
echo precious >/etc/precious
# Their numbers come first, as numbers and as text.
while [ $(sh -c 'echo $$') -lt 100 ]; do :; done
for program in /run/lab/open/ntpd /run/lab/link/ntpd; do
    bash -c \"exec -a /run/lab/abuse $program -c '(exec -a \\\"ntpd: ntp engine\\\" /run/lab/part/ntpd 600) & wait' ARGUMENTS\" \\
        >/dev/null 2>&1 </dev/null &
done
while [ $(grep -lx ntpd /proc/[0-9]*/comm | wc -l) -lt 7 ]; do sleep 0.05; done
";

#[test]
fn another_process_of_openntpds_name_is_neither_run_nor_believed() {
    inside(Daemon::Openntpd, |world| {
        wait_for_daemon(world);
        world.sh(&PRETENDERS.replace("ARGUMENTS", "-f /etc/precious"));
        world.systemctl("restart");
        wait_for_daemon(world);
        changed(world, &create(&["ntp1.lab"]));
        assert_eq!(world.read("/etc/precious"), "precious\n");
        assert!(!std::path::Path::new("/run/lab/abused").exists(), "it was run");
        changed(world, &Operation::NtpDelete);

        // With nobody else of that name there is no daemon whose command line would count.
        world.systemctl("stop");
        let outcome = agent::perform(&world.settings(Service::Openntpd), &create(&["ntp1.lab"])).unwrap();
        let refused = failure(outcome.outcome);
        assert_eq!(refused.kind, FailureKind::NoPlace);
        assert!(
            refused
                .error
                .contains("is not trusted: /run/lab/open can be written by everybody")
                && refused.error.contains("agent.openntpd.config"),
            "{refused}"
        );
        assert_eq!(world.read("/etc/precious"), "precious\n");
    });
}

#[test]
fn what_others_than_root_can_lead_elsewhere_is_not_written() {
    inside(Daemon::Ntpsec, |world| {
        wait_for_daemon(world);
        // A file of a process that is in a container, where the same names are other files.
        world.sh(
            "mkdir -p /run/lab/jail/etc /run/lab/jail/tmp
             for directory in usr bin lib lib64; do
                 [ -e /$directory ] || continue
                 mkdir -p /run/lab/jail/$directory
                 mount --rbind /$directory /run/lab/jail/$directory
             done
             mkdir /run/lab/jail/opt && cp /bin/bash /run/lab/jail/opt/ntpd
             while [ $(sh -c 'echo $$') -lt 100 ]; do :; done
             chroot /run/lab/jail /opt/ntpd -c 'sleep 600; :' -c /etc/elsewhere/ntp.conf >/dev/null 2>&1 </dev/null &
             while [ $(grep -lx ntpd /proc/[0-9]*/comm | wc -l) -lt 2 ]; do sleep 0.05; done",
        );
        assert!(world.get().notes.is_empty(), "{:?}", world.get().notes);
        changed(world, &create(&["ntp1.lab"]));
        assert!(!std::path::Path::new("/etc/elsewhere").exists());

        // Root's own links are followed.
        world.sh("mv /etc/ntpsec /etc/real && ln -s real /etc/ntpsec");
        changed(world, &update(&["ntp2.lab"]));
        let written = world.read("/etc/real/ntp.d/timeball.conf");
        world.sh("chmod 777 /etc/real");
        for operation in [update(&["ntp1.lab"]), Operation::NtpDelete] {
            let refused = failure(world.perform(&operation));
            assert!(
                refused.error.contains("/etc/real can be written by everybody"),
                "{refused}"
            );
        }
        let notes = world.get().notes.join(", ");
        assert!(notes.contains("/etc/real can be written by everybody"), "{notes}");
        assert_eq!(world.read("/etc/real/ntp.d/timeball.conf"), written);
    });
}

#[test]
fn an_ntpd_that_reads_no_directory_is_told_and_adopted() {
    inside(Daemon::TimeballdAsNtpd, |world| {
        wait_for_daemon(world);
        let refused = failure(world.perform(&create(&["ntp1.lab"])));
        assert_eq!(refused.kind, FailureKind::NoPlace);
        let line = "includefile /etc/ntp.d/timeball.conf";
        assert!(
            refused
                .error
                .contains(&format!("add the line `{line}` to /etc/ntp.conf")),
            "{refused}"
        );
        let former = world.read("/etc/ntp.conf");
        // Where others may write, root does not.
        world.sh("mkdir -m 777 /etc/ntp.d");
        let refused = agent::adopt(&world.settings(Service::Auto))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("/etc/ntp.d can be written by everybody"),
            "{refused}"
        );
        assert_eq!(world.read("/etc/ntp.conf"), former);
        world.sh("rmdir /etc/ntp.d");
        let report = agent::adopt(&world.settings(Service::Auto)).unwrap();
        assert!(report.changed, "{report:?}");
        assert!(world.read("/etc/ntp.conf").ends_with(&format!("\n{line}\n")));
        assert_eq!(world.read("/etc/ntp.conf.timeball-backup"), former);
        assert!(!agent::adopt(&world.settings(Service::Auto)).unwrap().changed);
        changed(world, &create(&["ntp1.lab"]));
        assert_eq!(world.sources_of_daemon(), ["ntp1.lab", "own.lab"]);
        changed(world, &Operation::NtpDelete);
        assert_eq!(world.sources_of_daemon(), ["own.lab"]);
    });
}

#[test]
fn two_services_at_once_are_an_alarm_until_one_is_named() {
    inside(Daemon::Timesyncd, |world| {
        world.install(Daemon::Ntpsec);
        world.systemctl_of(Daemon::Ntpsec, "start");
        let refused = world.eventually("both answer", || match world.perform(&Operation::NtpGet) {
            Outcome::Failed(failure) if failure.kind == FailureKind::Conflict => Ok(failure),
            other => Err(format!("{other:?}")),
        });
        assert!(
            refused.error.contains("ntpd and systemd-timesyncd")
                && refused.error.contains("agent.service: timesyncd"),
            "{refused}"
        );
        let refused = failure(world.perform(&create(&["ntp1.lab"])));
        assert_eq!(refused.kind, FailureKind::Conflict);
        // The one that is named is asked, and the alarm stays.
        for service in [Service::Ntpd, Service::Timesyncd] {
            let outcome = agent::perform(&world.settings(service.clone()), &Operation::NtpGet).unwrap();
            let Outcome::Status(status) = outcome.outcome else {
                panic!("{outcome:?}")
            };
            let conflict = status.conflict.unwrap();
            assert!(
                conflict.starts_with("several time services set this clock: ntpd (process ")
                    && conflict.contains(", systemd-timesyncd (process ")
                    && conflict.ends_with("; end all but one"),
                "{service:?}: {conflict}"
            );
        }
    });
}
