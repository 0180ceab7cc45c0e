//! The time services that a host may have, and which of them it runs: asked anew for every operation, because an
//! administrator can put one in the place of another at any time.

use std::path::Path;
use std::sync::Arc;

use model::{Change, Failure, FailureKind, Outcome, Servers};

use super::chrony::ChronyProvider;
use super::chrony::service::{CHRONY_OF_DEBIAN, CHRONY_OF_RHEL, TIMEBALLD};
use super::keepers::{Keeper, Processes};
use super::managed::{LocalService, Managed, interrupted};
use super::ntpd::Ntpd;
use super::openntpd::OpenNtpd;
use super::timesyncd::Timesyncd;
use super::{AdoptReport, NtpProvider};
use crate::host::Host;
use crate::journal::Plan;
use crate::providers::Ledger;
use crate::settings::{Service, Settings};

/// Families of distributions whose time services are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Debian,
    Rhel,
}

impl Family {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "debian" => Some(Family::Debian),
            "rhel" => Some(Family::Rhel),
            _ => None,
        }
    }
}

/// One of them.
type Local = dyn LocalService;

/// The time services that a host may have.
pub(super) struct Services {
    /// The one that is meant when none of them is there.
    first: Box<Local>,
    others: Vec<Box<Local>>,
    /// Those that the settings leave out. What was begun with one of them is still put right.
    unused: Vec<Box<Local>>,
    /// The one that only observes, where there is one: meant while none of the host's own runs.
    observer: Option<Box<Local>>,
    processes: Arc<Processes>,
}

impl Services {
    /// Knows the services of a host of this family, or the only one that the settings allow.
    pub(super) fn new(host: &Arc<dyn Host>, family: Family, settings: &Settings) -> Self {
        let state = &settings.state;
        let processes = Arc::new(Processes::new(Arc::clone(host)));
        let of_chrony = |service, how: &crate::settings::TimeService| -> Box<Local> {
            Box::new(ChronyProvider::new(&processes, service, how.clone(), state).managed())
        };
        let chrony = || match family {
            Family::Debian => of_chrony(&CHRONY_OF_DEBIAN, &settings.chrony),
            Family::Rhel => of_chrony(&CHRONY_OF_RHEL, &settings.chrony),
        };
        let timeballd = || of_chrony(&TIMEBALLD, &settings.timeballd);
        let ntpd = || -> Box<Local> {
            let backend = Ntpd::new(&processes, family, settings.ntpd.clone(), state);
            Box::new(Managed::new(backend))
        };
        let openntpd = || -> Box<Local> {
            let backend = OpenNtpd::new(&processes, settings.openntpd.clone(), state);
            Box::new(Managed::new(backend))
        };
        let timesyncd = || -> Box<Local> {
            let backend = Timesyncd::new(&processes, settings.timesyncd.clone(), state);
            Box::new(Managed::new(backend))
        };
        let mut others = vec![chrony(), timeballd(), ntpd(), openntpd(), timesyncd()];
        let only = match &settings.service {
            Service::Auto | Service::Observer(_) => None,
            Service::Chrony => Some(0),
            Service::Timeballd => Some(1),
            Service::Ntpd => Some(2),
            Service::Openntpd => Some(3),
            Service::Timesyncd => Some(4),
        };
        let first = others.remove(only.unwrap_or(0));
        let unused = match only {
            Some(_) => std::mem::take(&mut others),
            None => Vec::new(),
        };
        let observer: Option<Box<Local>> = match &settings.service {
            Service::Observer(observer) => {
                let provider = ChronyProvider::observing(&processes, observer, state);
                Some(Box::new(provider.managed()))
            }
            _ => None,
        };
        Services {
            first,
            others,
            unused,
            observer,
            processes,
        }
    }

    /// Whether one of the host's own runs: it has a process that sets the clock, be it one that cannot answer, or answers.
    pub(super) fn any_runs(&self) -> bool {
        self.all()
            .any(|service| service.has_keeper() || service.answers())
    }

    /// The host's own.
    fn all(&self) -> impl Iterator<Item = &Local> {
        std::iter::once(&self.first)
            .chain(&self.others)
            .map(|service| &**service)
    }

    /// The host's own, those that the settings leave out, too.
    fn known(&self) -> impl Iterator<Item = &Local> {
        self.all().chain(self.unused.iter().map(|service| &**service))
    }

    /// Adds to what a change did with `changed` which other services have servers from before in files of ours: one of
    /// them may keep the clock after the next start of the host.
    fn told_of_unconfirmed(&self, outcome: Outcome, changed: &Local) -> Outcome {
        let add = |mut change: Change| {
            for service in self.known() {
                let mut files = service.managed_files().into_iter();
                if let Some(file) = files.find(|file| *file != Path::new(&change.path)) {
                    change.warnings.push(unconfirmed(service, &file, changed));
                }
            }
            change
        };
        match outcome {
            Outcome::Changed(change) => Outcome::Changed(add(change)),
            Outcome::Unchanged(change) => Outcome::Unchanged(add(change)),
            other => other,
        }
    }

    /// The service to ask, found out anew. The host's own may come while one observes, and then is the one that sets the
    /// clock.
    fn running(&self) -> Result<&Local, Failure> {
        self.processes.forget();
        match &self.observer {
            Some(observer) if !self.any_runs() => Ok(&**observer),
            Some(_) | None => self.of_host(),
        }
    }

    /// The service whose servers are to be changed.
    fn changing(&self) -> Result<&Local, Failure> {
        let service = self.running()?;
        if !service.observes() {
            return Ok(service);
        }
        match self.processes.keepers().first() {
            Some(keeper) => Err(only_observed(keeper)),
            None => Ok(service),
        }
    }

    /// The service that the host runs. Where there are signs of one only, or of none, nobody is asked.
    fn of_host(&self) -> Result<&Local, Failure> {
        let there: Vec<&Local> = self.all().filter(|service| service.is_there()).collect();
        match there.as_slice() {
            [] => return Ok(&*self.first),
            [only] => return Ok(*only),
            _ => {}
        }
        let mut answering: Vec<&Local> = there
            .iter()
            .copied()
            .filter(|service| service.answers())
            .collect();
        // One daemon can answer in the way of several: timeballd under another's name does.
        if answering.iter().any(|service| service.has_process()) {
            answering.retain(|service| service.has_process());
        }
        // One that only observes steers nothing beside the one that keeps the clock.
        if answering.iter().any(|service| service.has_keeper()) {
            answering.retain(|service| service.has_keeper());
        }
        match answering.as_slice() {
            [] => silent(&there),
            [only] => Ok(*only),
            several if several.iter().all(|service| service.tells_apart()) => {
                let (first, second) = (several[0], several[1]);
                let socket = first.socket_now();
                let one_socket =
                    socket.is_some() && several.iter().all(|service| service.socket_now() == socket);
                match one_socket {
                    true => behind_one_socket(first, several),
                    false => Err(two(first, second)),
                }
            }
            several => {
                // Those that answer through one UDP port are one daemon; the others are daemons of their own.
                let alone = several.iter().copied().find(|service| service.tells_apart());
                let mut shared = several.iter().copied().filter(|service| !service.tells_apart());
                let with_socket = shared.clone().find(|service| service.has_socket());
                match (with_socket.or_else(|| shared.next()), alone) {
                    (Some(one), Some(other)) => Err(two(one, other)),
                    (Some(one), None) | (None, Some(one)) => Ok(one),
                    (None, None) => silent(&there),
                }
            }
        }
    }
}

/// The one of several services whose configurations name the same socket: one daemon answers for them all. It is the
/// one that has a process, or else the one whose usual socket it is, or that is meant. A wrong guess is noticed: a
/// change that the daemon does not take over is undone.
fn behind_one_socket<'a>(first: &'a Local, answering: &[&'a Local]) -> Result<&'a Local, Failure> {
    let with_process: Vec<&Local> = answering
        .iter()
        .copied()
        .filter(|service| service.has_process())
        .collect();
    match with_process.as_slice() {
        [only] => return Ok(*only),
        [one, other, ..] => return Err(two(*one, *other)),
        [] => {}
    }
    let known = answering
        .iter()
        .copied()
        .find(|service| service.is_at_usual_socket());
    Ok(known.or_else(|| meant(answering)).unwrap_or(first))
}

/// The one of several services that the host is meant to run: the one that is started with it, or else the one whose
/// servers are managed.
fn meant<'a>(there: &[&'a Local]) -> Option<&'a Local> {
    let signs: [fn(&Local) -> bool; 2] = [|service| service.is_enabled(), |service| service.has_record()];
    let only = |sign: fn(&Local) -> bool| {
        let mut meant = there.iter().copied().filter(|service| sign(*service));
        meant.next().filter(|_| meant.next().is_none())
    };
    signs.into_iter().find_map(only)
}

/// The one of several silent services that is meant: the only one that sets the clock all the same, or one for which there
/// is another sign. Without such a sign none is read or changed in the place of the other.
fn silent<'a>(there: &[&'a Local]) -> Result<&'a Local, Failure> {
    let mut keeping = there.iter().copied().filter(|service| service.has_keeper());
    let keeping = keeping.next().filter(|_| keeping.next().is_none());
    keeping.or_else(|| meant(there)).ok_or_else(|| {
        let daemons: Vec<_> = there.iter().map(|service| service.identity().daemon).collect();
        let units: Vec<_> = there.iter().map(|service| service.unit()).collect();
        Failure::new(
            FailureKind::DaemonUnreachable,
            format!(
                "this host has {} and none of them answers: start the one that shall keep its clock \
                 (`systemctl enable --now {}`)",
                daemons.join(" and "),
                units.join("` or `systemctl enable --now "),
            ),
        )
    })
}

/// Two daemons steer one clock; which of them to believe and to change is not for the agent to guess.
fn two(first: &Local, second: &Local) -> Failure {
    let (one, other) = (first.identity(), second.identity());
    Failure::new(
        FailureKind::Conflict,
        format!(
            "two time services run on this host, {one} and {other}, and both steer its clock: end one, such as \
             with `systemctl disable --now {unit}`; if one of them only observes (-x), name the one that keeps the \
             clock: `agent.service: {name}` in the agent's timeball.yaml",
            one = one.daemon,
            other = other.daemon,
            unit = first.unit(),
            name = other.name,
        ),
    )
}

/// The observer's servers steer no clock; who asks for servers means those that do.
fn only_observed(keeper: &Keeper) -> Failure {
    Failure::new(
        FailureKind::Conflict,
        format!(
            "{keeper} sets this host's clock, and timeballd only observes it (-x): servers given to timeballd would \
             change nothing; set those of {program} itself, or put chrony or timeballd in its place",
            program = keeper.program,
        ),
    )
}

/// A service that had no part in a change of another one's servers.
fn unconfirmed(service: &Local, file: &Path, changed: &Local) -> String {
    let (daemon, unit) = (service.identity().daemon, service.unit());
    let file = file.display();
    match service.answers() {
        true => format!(
            "{daemon} did not confirm this: it was not asked, and its servers in {file} are as they were; `agent.service` \
             in the agent's timeball.yaml says which service is asked"
        ),
        false => format!(
            "{daemon} did not confirm this: it does not answer, and its servers in {file} are as they were; ask again once it \
             runs in the place of {}, or see that it is not started (`systemctl disable {unit}`)",
            changed.identity().daemon,
        ),
    }
}

/// Adds to a report of the clock that more than one service sets it, which the one that was asked cannot know.
fn told_of_others(outcome: Outcome, keepers: &[Keeper]) -> Outcome {
    let Outcome::Status(mut status) = outcome else {
        return outcome;
    };
    status.conflict = conflict(keepers);
    Outcome::Status(status)
}

/// What is wrong with a clock that several programs set.
fn conflict(keepers: &[Keeper]) -> Option<String> {
    let mut programs: Vec<&str> = keepers.iter().map(|keeper| keeper.program).collect();
    programs.sort_unstable();
    programs.dedup();
    if programs.len() < 2 {
        return None;
    }
    let mut names: Vec<String> = keepers.iter().map(Keeper::to_string).collect();
    names.sort_unstable();
    Some(format!(
        "several time services set this clock: {}; end all but one",
        names.join(", ")
    ))
}

impl NtpProvider for Services {
    fn status(&self) -> Outcome {
        let outcome = self
            .running()
            .map_or_else(Outcome::Failed, |service| service.status());
        told_of_others(outcome, &self.processes.keepers())
    }

    fn create(&self, servers: &Servers, ledger: &mut dyn Ledger) -> Outcome {
        self.changing().map_or_else(Outcome::Failed, |service| {
            self.told_of_unconfirmed(service.create(servers, ledger), service)
        })
    }

    fn update(&self, servers: &Servers, ledger: &mut dyn Ledger) -> Outcome {
        self.changing().map_or_else(Outcome::Failed, |service| {
            self.told_of_unconfirmed(service.update(servers, ledger), service)
        })
    }

    fn delete(&self, ledger: &mut dyn Ledger) -> Outcome {
        self.running().map_or_else(Outcome::Failed, |service| {
            self.told_of_unconfirmed(service.delete(ledger), service)
        })
    }

    /// The plan's record says whose files were being changed, whichever service runs now.
    fn recover(&self, plan: &Plan) -> Outcome {
        self.processes.forget();
        let mut known = self.known().chain(self.observer.as_deref());
        match known.find(|service| service.made(plan)) {
            Some(service) => service.recover(plan),
            None => interrupted(
                false,
                &format!(
                    "{} is no record of a time service here, and everything was left as it is",
                    plan.record.path.display()
                ),
            ),
        }
    }

    fn adopt(&self) -> Result<AdoptReport, String> {
        self.running().map_err(|failure| failure.error)?.adopt()
    }

    fn sweep(&self) {
        for service in self.all().chain(self.observer.as_deref()) {
            service.sweep();
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Operation;
    use model::ntp::NtpStatus;

    use super::*;
    use crate::host::SimulatedHost;
    use crate::journal::{Content, Effect, FileChange, Names};
    use crate::settings::Observer;

    fn perform(host: &SimulatedHost, settings: &Settings, operation: &Operation) -> Outcome {
        let host: Arc<dyn Host> = Arc::new(host.clone());
        crate::perform_on(&host, settings, operation).unwrap().outcome
    }

    fn get(host: &SimulatedHost, service: Service) -> Result<NtpStatus, Failure> {
        let mut settings = Settings::new("c:1");
        settings.service = service;
        match perform(host, &settings, &Operation::NtpGet) {
            Outcome::Status(status) => Ok(*status),
            Outcome::Failed(failure) => Err(failure),
            other => panic!("{other:?}"),
        }
    }

    fn host(services: &[&str]) -> SimulatedHost {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        host.write(TIMEBALLD.config, "server a\nsourcedir /etc/timeball/sources.d\n");
        let sockets = services.iter().map(|socket| Path::new(socket).to_owned());
        host.with_chrony(|chrony| chrony.sockets = sockets.collect());
        host
    }

    #[test]
    fn the_service_that_answers_is_taken() {
        for (sockets, expected) in [
            (&[CHRONY_OF_DEBIAN.socket][..], "chrony"),
            (&[TIMEBALLD.socket], "timeballd"),
        ] {
            assert_eq!(get(&host(sockets), Service::Auto).unwrap().service, expected);
        }
        // The settings have the last word.
        let failure = get(&host(&[CHRONY_OF_DEBIAN.socket]), Service::Timeballd).unwrap_err();
        assert_eq!(failure.kind, FailureKind::DaemonUnreachable);
        assert!(
            failure.error.starts_with("timeballd does not answer"),
            "{failure}"
        );
    }

    #[test]
    fn a_host_without_signs_of_timeballd_is_one_of_chrony() {
        let host = host(&[]);
        host.delete(TIMEBALLD.config);
        let failure = get(&host, Service::Auto).unwrap_err();
        assert!(failure.error.starts_with("chronyd does not answer"), "{failure}");
        host.write(TIMEBALLD.config, "");
        host.delete(CHRONY_OF_DEBIAN.config);
        let failure = get(&host, Service::Auto).unwrap_err();
        assert!(
            failure.error.starts_with("timeballd does not answer"),
            "{failure}"
        );
    }

    #[test]
    fn of_silent_services_the_enabled_one_is_meant_or_the_managed_one() {
        let host = host(&[]);
        let failure = get(&host, Service::Auto).unwrap_err();
        assert_eq!(failure.kind, FailureKind::DaemonUnreachable);
        assert_eq!(
            failure.error,
            "this host has chronyd and timeballd and none of them answers: start the one that shall keep its clock \
             (`systemctl enable --now chrony` or `systemctl enable --now timeballd`)"
        );
        let create = Operation::NtpCreate(Servers::new(vec!["b".parse().unwrap()]).unwrap());
        let created = perform(&host, &Settings::new("c:1"), &create);
        assert!(
            matches!(created, Outcome::Failed(failure) if failure.kind == FailureKind::DaemonUnreachable)
        );

        let silent = |host: &SimulatedHost| get(host, Service::Auto).unwrap_err().error;
        let record = Settings::new("c:1").state.join(TIMEBALLD.record);
        host.write(record.to_str().unwrap(), "{}");
        assert!(silent(&host).starts_with("timeballd does not answer"));
        host.write("/etc/systemd/system/multi-user.target.wants/chrony.service", "");
        assert!(silent(&host).starts_with("chronyd does not answer"));
        host.write(
            "/etc/systemd/system/multi-user.target.wants/timeballd.service",
            "",
        );
        assert!(silent(&host).starts_with("timeballd does not answer"));
    }

    #[test]
    fn a_service_is_called_as_the_package_that_is_installed_now_calls_it() {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        let mut settings = Settings::new("c:1");
        settings.service = Service::Ntpd;
        // The agent knows its services from its start on.
        let shared: Arc<dyn Host> = Arc::new(host.clone());
        let services = Services::new(&shared, Family::Debian, &settings);
        let told = || match services.status() {
            Outcome::Failed(failure) => failure.error,
            other => panic!("{other:?}"),
        };
        assert!(
            told().contains("is ntpd installed? (`apt-get install ntpsec`)"),
            "{}",
            told()
        );
        host.write("/etc/ntp.conf", "server a\n");
        host.write("/lib/systemd/system/ntp.service", "[Service]\n");
        assert!(told().contains("`systemctl status ntp`"), "{}", told());
        // What was removed leaves its configuration behind.
        host.delete("/lib/systemd/system/ntp.service");
        host.write("/etc/ntpsec/ntp.conf", "server a\n");
        host.write("/usr/lib/systemd/system/ntpsec.service", "[Service]\n");
        assert!(told().contains("`systemctl status ntpsec`"), "{}", told());
        host.delete("/usr/lib/systemd/system/ntpsec.service");
        host.write("/usr/lib/systemd/system/ntp.service", "[Service]\n");
        assert!(told().contains("`systemctl status ntp`"), "{}", told());
        assert!(!services.first.is_enabled());
        host.write("/etc/systemd/system/multi-user.target.wants/ntp.service", "");
        assert!(services.first.is_enabled());
    }

    #[test]
    fn a_timesyncd_that_is_stopped_needs_no_configuration_to_be_there() {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        host.delete(CHRONY_OF_DEBIAN.config);
        let told = |service: Service| {
            let mut settings = Settings::new("c:1");
            settings.service = service;
            let got = get(&host, settings.service.clone()).unwrap_err().error;
            match perform(&host, &settings, &create()) {
                Outcome::Failed(failure) if failure.error == got => got,
                other => panic!("{got}: {other:?}"),
            }
        };
        let absent = told(Service::Timesyncd);
        assert!(
            absent.ends_with("there is no unit systemd-timesyncd: is timesyncd installed? (`apt-get install systemd-timesyncd`)"),
            "{absent}"
        );
        host.write("/usr/lib/systemd/system/systemd-timesyncd.service", "[Service]\n");
        for service in [Service::Timesyncd, Service::Auto] {
            let stopped = told(service);
            assert!(
                stopped.starts_with("systemd-timesyncd does not answer")
                    && stopped.contains("; is it running? (`systemctl status systemd-timesyncd`; `systemctl enable --now systemd-timesyncd` starts it)"),
                "{stopped}"
            );
        }
    }

    #[test]
    fn a_service_that_is_masked_is_no_sign_of_it() {
        let host = host(&[]);
        host.delete(TIMEBALLD.config);
        let wanted = "/etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service";
        host.write("/usr/lib/systemd/system/systemd-timesyncd.service", "[Service]\n");
        let silent = || get(&host, Service::Auto).unwrap_err().error;
        assert!(
            silent().starts_with("this host has chronyd and systemd-timesyncd"),
            "{}",
            silent()
        );
        host.write(wanted, "[Service]\n");
        assert!(
            silent().starts_with("systemd-timesyncd does not answer"),
            "{}",
            silent()
        );
        // That is what a link to /dev/null reads as.
        host.write("/etc/systemd/system/systemd-timesyncd.service", "");
        assert!(silent().starts_with("chronyd does not answer"), "{}", silent());
    }

    #[test]
    fn of_silent_services_the_one_that_sets_the_clock_is_meant() {
        let host = host(&[]);
        host.write("/etc/systemd/system/multi-user.target.wants/chrony.service", "");
        let silent = || get(&host, Service::Auto).unwrap_err().error;
        assert!(silent().starts_with("chronyd does not answer"));
        host.write("/proc/17/comm", "ntpd\n");
        assert!(
            silent().starts_with("ntpd does not answer at 127.0.0.1:123"),
            "{}",
            silent()
        );
        host.write("/proc/18/comm", "systemd-timesyn\n");
        assert!(silent().starts_with("chronyd does not answer"));
    }

    #[test]
    fn two_configurations_of_one_socket_are_no_two_services() {
        let host = host(&[CHRONY_OF_DEBIAN.socket]);
        let copied = format!("server a\nbindcmdaddress {}\n", CHRONY_OF_DEBIAN.socket);
        host.write(TIMEBALLD.config, &copied);
        let service = |host: &SimulatedHost| get(host, Service::Auto).map(|status| status.service);
        assert_eq!(service(&host).unwrap(), "chrony", "it is chronyd's usual socket");
        host.write("/proc/17/comm", "timeballd\n");
        assert_eq!(service(&host).unwrap(), "timeballd", "it has a process");
        host.write("/proc/17/comm", "chronyd\n");
        assert_eq!(service(&host).unwrap(), "chrony");
        host.write("/proc/18/comm", "timeballd\n");
        assert_eq!(service(&host).unwrap_err().kind, FailureKind::Conflict);
    }

    #[test]
    fn two_services_at_once_are_an_error_until_one_is_named() {
        let host = host(&[CHRONY_OF_DEBIAN.socket, TIMEBALLD.socket]);
        let failure = get(&host, Service::Auto).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Conflict);
        assert!(
            failure.error.contains("systemctl disable --now chrony`")
                && failure.error.contains("agent.service: timeballd"),
            "{failure}"
        );
        let before = host.paths();
        let servers = Servers::new(vec!["b".parse().unwrap()]).unwrap();
        let created = perform(&host, &Settings::new("c:1"), &Operation::NtpCreate(servers));
        assert!(matches!(created, Outcome::Failed(failure) if failure.kind == FailureKind::Conflict));
        let written: Vec<_> = host
            .paths()
            .into_iter()
            .filter(|path| !before.contains(path))
            .collect();
        assert!(
            written.iter().all(|path| path.starts_with("/var/lib/timeball")),
            "{written:?}"
        );
        assert_eq!(get(&host, Service::Timeballd).unwrap().service, "timeballd");
        assert_eq!(get(&host, Service::Chrony).unwrap().service, "chrony");
    }

    #[test]
    fn what_was_begun_is_put_right_by_its_own_service_which_is_not_started() {
        let host = host(&[CHRONY_OF_DEBIAN.socket]);
        let mut settings = Settings::new("c:1");
        settings.service = Service::Chrony;
        let managed = Path::new("/etc/ntpsec/ntp.d/timeball.conf");
        let change = |path: &Path, next: &str| FileChange {
            path: path.to_owned(),
            former: None,
            next: Some(Content(next.as_bytes().to_vec())),
        };
        let plan = |record: &str| Plan {
            files: vec![change(managed, "server b\n")],
            record: change(&settings.state.join(record), "{}"),
            effect: Effect::Restart,
            former: Names::default(),
            next: Names::default(),
        };
        let recovered = |plan: &Plan| {
            let host: Arc<dyn Host> = Arc::new(host.clone());
            match Services::new(&host, Family::Debian, &settings).recover(plan) {
                Outcome::Failed(failure) => (failure.rolled_back, failure.error),
                other => panic!("{other:?}"),
            }
        };
        host.write("/proc/18/comm", "chronyd\n");

        // It was complete, but for the restart: the operator has gone over to chrony in between.
        host.write(managed, "server b\n");
        let (rolled_back, error) = recovered(&plan("ntpd.json"));
        assert_eq!(rolled_back, Some(true));
        assert!(
            error.contains("ntpd does not run, and chronyd (process 18) keeps the clock")
                && error.contains("ntpd was not started"),
            "{error}"
        );
        assert_eq!(host.text(managed), None);
        assert_eq!(host.text(settings.state.join("ntpd.json")), None);

        let (rolled_back, error) = recovered(&plan("unknown.json"));
        assert_eq!(rolled_back, Some(false));
        assert!(error.contains("unknown.json is no record"), "{error}");
        assert_eq!(host.with_chrony(|chrony| chrony.restarts), 0);
    }

    #[test]
    fn a_change_names_the_other_service_that_has_servers_from_before() {
        let host = host(&[CHRONY_OF_DEBIAN.socket]);
        let settings = Settings::new("c:1");
        let told = |operation: &Operation, settings: &Settings| match perform(&host, settings, operation) {
            Outcome::Changed(change) | Outcome::Unchanged(change) => change.warnings,
            other => panic!("{other:?}"),
        };
        assert_eq!(told(&create(), &settings), Vec::<String>::new());
        host.write("/etc/timeball/sources.d/timeball.sources", "server old iburst\n");
        let silent = "timeballd did not confirm this: it does not answer, and its servers in \
                      /etc/timeball/sources.d/timeball.sources are as they were; ask again once it runs in the place of \
                      chronyd, or see that it is not started (`systemctl disable timeballd`)";
        let update = Operation::NtpUpdate(Servers::new(vec!["c".parse().unwrap()]).unwrap());
        for operation in [&create(), &update, &update, &Operation::NtpDelete] {
            assert_eq!(told(operation, &settings), [silent]);
        }
        // One that the settings leave out may answer, and is not asked.
        host.with_chrony(|chrony| chrony.sockets.insert(TIMEBALLD.socket.into()));
        let mut only = settings;
        only.service = Service::Chrony;
        let warnings = told(&create(), &only);
        assert!(
            warnings.len() == 1 && warnings[0].contains("did not confirm this: it was not asked"),
            "{warnings:?}"
        );
    }

    #[test]
    fn one_that_observes_is_no_second_keeper() {
        let host = host(&[CHRONY_OF_DEBIAN.socket, TIMEBALLD.socket]);
        host.write("/proc/17/comm", "timeballd\n");
        host.write("/proc/18/comm", "chronyd\n");
        assert_eq!(get(&host, Service::Auto).unwrap_err().kind, FailureKind::Conflict);
        host.write(TIMEBALLD.pid_file, "17\n");
        host.write("/proc/18/cmdline", "chronyd\0-dx\0");
        let status = get(&host, Service::Auto).unwrap();
        assert_eq!((status.service.as_str(), status.conflict), ("timeballd", None));
    }

    #[test]
    fn a_service_that_keeps_others_out_runs_when_it_has_a_process() {
        let host = host(&[]);
        let runs = || {
            let host: Arc<dyn Host> = Arc::new(host.clone());
            super::super::any_runs(&host, &Settings::new("c:1"))
        };
        host.with_chrony(|chrony| chrony.running = false);
        host.set_root(false);
        assert!(!runs());
        // A directory that a daemon left behind is no daemon.
        host.write(TIMEBALLD.socket, "");
        assert!(!runs());
        host.write("/proc/17/comm", "timeballd\n");
        assert!(runs());
        host.set_root(true);
        assert!(runs(), "it steers the clock, though nobody answers");
        host.write("/proc/17/cmdline", "timeballd\0-x\0");
        assert!(!runs(), "it leaves the clock alone");
        host.delete(TIMEBALLD.socket);
        host.write("/proc/18/comm", "chronyd\n");
        assert!(!runs(), "a process without any other sign may be anybody's");
        host.write(CHRONY_OF_DEBIAN.pid_file, "18\n");
        assert!(runs(), "its socket is disabled");
        host.delete(CHRONY_OF_DEBIAN.pid_file);
        host.with_chrony(|chrony| {
            chrony.running = true;
            chrony.sockets = [TIMEBALLD.socket.into()].into();
        });
        assert!(runs());
    }

    /// A host on which a timeballd observes, and its settings.
    fn observed() -> (SimulatedHost, Settings) {
        let observer = Observer {
            directory: "/data/timeballd".into(),
            program: "/usr/sbin/timeballd".into(),
        };
        let host = host(&[observer.socket().to_str().unwrap()]);
        host.write(
            observer.config(),
            "server a\nsourcedir /data/timeballd/sources.d\n",
        );
        host.write("/proc/30/comm", "timeballd\n");
        host.write("/proc/30/cmdline", "timeballd\0-x\0-d\0");
        let mut settings = Settings::new("c:1");
        settings.service = Service::Observer(observer);
        (host, settings)
    }

    fn create() -> Operation {
        Operation::NtpCreate(Servers::new(vec!["b".parse().unwrap()]).unwrap())
    }

    const OF_OBSERVER: &str = "/data/timeballd/sources.d/timeball.sources";

    #[test]
    fn an_observer_gives_way_to_the_hosts_own_service() {
        let (host, settings) = observed();
        let notes = get(&host, settings.service.clone()).unwrap().notes.join(", ");
        assert!(notes.contains("nothing here sets this clock"), "{notes}");

        // One that comes later is asked and managed.
        host.with_chrony(|chrony| chrony.sockets.insert(CHRONY_OF_DEBIAN.socket.into()));
        let status = get(&host, settings.service.clone()).unwrap();
        assert_eq!(status.service, "chrony");
        assert!(!status.notes.join(", ").contains("-x"), "{:?}", status.notes);
        let created = perform(&host, &settings, &create());
        assert!(
            matches!(&created, Outcome::Changed(change) if change.path.starts_with("/etc/chrony")),
            "{created:?}"
        );
        assert_eq!(host.text(OF_OBSERVER), None);
    }

    #[test]
    fn an_observer_does_not_stand_for_a_service_that_hangs() {
        let (host, settings) = observed();
        host.write(CHRONY_OF_DEBIAN.pid_file, "17\n");
        host.write("/proc/17/comm", "chronyd\n");
        for operation in [Operation::NtpGet, create()] {
            match perform(&host, &settings, &operation) {
                Outcome::Failed(failure) => {
                    assert_eq!(failure.kind, FailureKind::DaemonUnreachable);
                    assert!(failure.error.contains("chronyd"), "{failure}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(host.text(OF_OBSERVER), None);
    }

    #[test]
    fn an_observer_names_the_service_that_the_agent_cannot_manage() {
        let (host, settings) = observed();
        host.write("/proc/20/comm", "ntp-daemon\n");
        let status = get(&host, settings.service.clone()).unwrap();
        assert_eq!(
            status.notes,
            ["timeballd only observes (-x): ntpd-rs (process 20) sets this clock"]
        );
        match perform(&host, &settings, &create()) {
            Outcome::Failed(failure) => {
                assert_eq!(failure.kind, FailureKind::Conflict);
                assert!(
                    failure
                        .error
                        .starts_with("ntpd-rs (process 20) sets this host's clock"),
                    "{failure}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(host.text(OF_OBSERVER), None);
        host.delete("/proc/20/comm");
        // The simulated daemon reads chronyd's files.
        host.write(CHRONY_OF_DEBIAN.config, "sourcedir /data/timeballd/sources.d\n");
        let created = perform(&host, &settings, &create());
        assert!(matches!(created, Outcome::Changed(_)), "{created:?}");
        assert!(host.text(OF_OBSERVER).is_some());
    }

    #[test]
    fn another_user_than_root_takes_what_answers() {
        let host = host(&[CHRONY_OF_DEBIAN.socket]);
        host.set_root(false);
        let status = get(&host, Service::Auto).unwrap();
        assert_eq!(status.service, "chrony");
        host.delete(CHRONY_OF_DEBIAN.config);
        host.with_chrony(|chrony| chrony.sockets = [TIMEBALLD.socket.into()].into());
        assert_eq!(get(&host, Service::Auto).unwrap().service, "timeballd");
    }
}
