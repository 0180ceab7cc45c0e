//! Scenarios: who is in the world, what the network is like, what happens, and what must come of it.
//!
//! ```
//! use sim::*;
//!
//! Scenario::of_hours(1.0)
//!     .server("time", Server::ideal())
//!     .path("time", Path::lan())
//!     .client(Client::asking("server time iburst minpoll 4 maxpoll 6").also("makestep 1 3"))
//!     .expect(offset_below(micros(500.0)).within(minutes(10.0)))
//!     .check(2);
//! ```

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use conf::chrony::parse_arguments;
use conf::config::{Config, SourceName};
use conf::diagnostic::{Diagnostic, Severity};
use conf::dialect::Dialect;
use conf::include::{ReadError, Reader};
use engine::discipline::leap::LeapTable;
use engine::io::StampSource;
use units::{Leap, UnixTime};
use wire::candm::Request;

use crate::clock::Oscillator;
use crate::network::{Jitter, Path};
use crate::record::{Record, number};
use crate::rtc::BatteryClock;
use crate::server::Server;
use crate::verdict::{Expectation, judge};
use crate::world::{Act, ClientSetup, World};

/// 2026-01-01 00:00:00 UTC: when worlds begin unless said otherwise.
pub const BEGIN_UNIX_SECONDS: i64 = 1_767_225_600;

/// 2027-01-01 00:00:00 UTC.
const MIDNIGHT_UNIX_SECONDS: i64 = 1_798_761_600;

/// What the client is called that has no other name.
pub const CLIENT: &str = "client";

/// A host with an engine, for a [`Scenario`].
#[derive(Debug, Clone)]
pub struct Client {
    directives: Vec<String>,
    file: Option<(Dialect, String)>,
    oscillator: Oscillator,
    start_s: f64,
    drift: Option<(f64, f64)>,
    observe: bool,
    by_name: bool,
    leap_table: Option<LeapTable>,
    stamps: StampSource,
    latency: Jitter,
    rtc: Option<BatteryClock>,
    acts: Vec<(f64, Act)>,
}

impl Client {
    /// A host with a quartz whose daemon is configured with this directive of chrony.conf. Names of hosts stand
    /// for their addresses.
    pub fn asking(directive: &str) -> Self {
        Self {
            directives: vec![directive.to_owned()],
            file: None,
            oscillator: Oscillator::quartz(),
            start_s: 1.0,
            drift: None,
            observe: false,
            by_name: false,
            leap_table: None,
            stamps: StampSource::Kernel,
            latency: Jitter::Constant(0.0),
            rtc: None,
            acts: Vec::new(),
        }
    }

    /// A host with a quartz whose daemon reads a file in one of the languages. Names are looked up.
    pub fn reading(dialect: Dialect, text: &str) -> Self {
        Self {
            directives: Vec::new(),
            file: Some((dialect, text.to_owned())),
            ..Self::asking("")
        }
    }

    /// One directive more.
    #[must_use]
    pub fn also(mut self, directive: &str) -> Self {
        self.directives.push(directive.to_owned());
        self
    }

    /// Its oscillator.
    #[must_use]
    pub fn clock(mut self, oscillator: Oscillator) -> Self {
        self.oscillator = oscillator;
        self
    }

    /// Changes its oscillator.
    #[must_use]
    pub fn tuned(mut self, change: impl FnOnce(Oscillator) -> Oscillator) -> Self {
        self.oscillator = change(self.oscillator);
        self
    }

    /// The random walk of its frequency, per root second.
    #[must_use]
    pub fn wander(self, per_root_second: f64) -> Self {
        self.tuned(|oscillator| oscillator.wander(per_root_second))
    }

    /// When its daemon starts, seconds.
    #[must_use]
    pub fn starting_at(mut self, seconds: f64) -> Self {
        self.start_s = seconds;
        self
    }

    /// Its drift file says: gains so much, give or take so much; ppm.
    #[must_use]
    pub fn drift_file(mut self, gains_ppm: f64, skew_ppm: f64) -> Self {
        self.drift = Some((gains_ppm, skew_ppm));
        self
    }

    /// Its daemon knows the leap second at the end of 2026.
    #[must_use]
    pub fn leap_file(mut self, leap: Leap) -> Self {
        let tai_offset_s = if leap == Leap::Insert { 38 } else { 36 };
        self.leap_table = Some(LeapTable {
            entries: vec![(1_483_228_800, 37), (MIDNIGHT_UNIX_SECONDS, tai_offset_s)],
            expires: MIDNIGHT_UNIX_SECONDS + 15_000_000,
        });
        self
    }

    /// Its daemon looks the names up.
    #[must_use]
    pub fn by_name(mut self) -> Self {
        self.by_name = true;
        self
    }

    /// Its operator runs chronyc.
    #[must_use]
    pub fn chronyc(self, at_s: f64, request: Request) -> Self {
        self.act_at(at_s, Act::Chronyc(request))
    }

    /// Its operator looks at `ntpq`.
    #[must_use]
    pub fn ntpq(self, at_s: f64) -> Self {
        self.act_at(at_s, Act::Ntpq)
    }

    /// Its daemon only watches.
    #[must_use]
    pub fn observing(mut self) -> Self {
        self.observe = true;
        self
    }

    /// Its daemon takes timestamps by itself, and gets the processor only after such a wait.
    #[must_use]
    pub fn daemon_stamps(mut self, latency: Jitter) -> Self {
        self.stamps = StampSource::Daemon;
        self.latency = latency;
        self
    }

    /// Its daemon gets the processor only after such a wait; the kernel takes the timestamps.
    #[must_use]
    pub fn busy(mut self, latency: Jitter) -> Self {
        self.latency = latency;
        self
    }

    /// It has a real-time clock.
    #[must_use]
    pub fn rtc(mut self, rtc: BatteryClock) -> Self {
        self.rtc = Some(rtc);
        self
    }

    /// Somebody steps its clock by so many seconds.
    #[must_use]
    pub fn step_at(self, at_s: f64, by_s: f64) -> Self {
        self.act_at(at_s, Act::Step(by_s))
    }

    /// It sleeps between these times; its battery clock is wrong by so much afterwards. Seconds.
    #[must_use]
    pub fn asleep(self, from_s: f64, to_s: f64, error_s: f64) -> Self {
        self.act_at(from_s, Act::Sleep).act_at(to_s, Act::Wake(error_s))
    }

    /// Something happens to it.
    #[must_use]
    pub fn act_at(mut self, at_s: f64, act: Act) -> Self {
        self.acts.push((at_s, act));
        self
    }
}

/// What happens in a world, and what must come of it.
pub struct Scenario {
    length_s: f64,
    begin: UnixTime,
    leap: Option<(f64, Leap)>,
    servers: Vec<(String, Server)>,
    clients: Vec<(String, Client)>,
    names: Vec<(f64, String, Vec<String>)>,
    lookups_fail: Vec<(f64, f64)>,
    paths: Vec<(String, String, Path)>,
    expectations: Vec<Expectation>,
}

impl Scenario {
    /// A world that lasts so many hours.
    pub fn of_hours(hours: f64) -> Self {
        Self {
            length_s: hours * 3600.0,
            begin: UnixTime::from_seconds(BEGIN_UNIX_SECONDS),
            leap: None,
            servers: Vec::new(),
            clients: Vec::new(),
            names: Vec::new(),
            lookups_fail: Vec::new(),
            paths: Vec::new(),
            expectations: Vec::new(),
        }
    }

    /// It begins at this true time.
    #[must_use]
    pub fn beginning(mut self, at: UnixTime) -> Self {
        self.begin = at;
        self
    }

    /// It begins so many hours before UTC's last midnight of 2026, at which a leap second is inserted or deleted.
    #[must_use]
    pub fn hours_before_leap(mut self, hours: f64, leap: Leap) -> Self {
        self.begin = UnixTime::from_seconds(MIDNIGHT_UNIX_SECONDS).plus_seconds(-3600.0 * hours);
        self.leap = Some((
            3600.0 * hours - if leap == Leap::Delete { 1.0 } else { 0.0 },
            leap,
        ));
        self
    }

    /// There is a server.
    #[must_use]
    pub fn server(mut self, name: &str, server: Server) -> Self {
        self.servers.push((name.to_owned(), server));
        self
    }

    /// There is the host that the expectations are about.
    #[must_use]
    pub fn client(self, client: Client) -> Self {
        self.client_named(CLIENT, client)
    }

    /// There is another host with an engine, in place of one of the same name.
    #[must_use]
    pub fn client_named(mut self, name: &str, client: Client) -> Self {
        self.clients.retain(|(other, _)| other != name);
        self.clients.push((name.to_owned(), client));
        self
    }

    /// The path between the client and this host.
    #[must_use]
    pub fn path(self, to: &str, path: Path) -> Self {
        self.path_between(CLIENT, to, path)
    }

    /// The path between two hosts; a server that is no engine is the second.
    #[must_use]
    pub fn path_between(mut self, from: &str, to: &str, path: Path) -> Self {
        self.paths.push((from.to_owned(), to.to_owned(), path));
        self
    }

    /// A name stands for several hosts.
    #[must_use]
    pub fn pool(self, name: &str, hosts: &[&str]) -> Self {
        self.pool_from(0.0, name, hosts)
    }

    /// From a time on, seconds, a name stands for these hosts and no others.
    #[must_use]
    pub fn pool_from(mut self, from_s: f64, name: &str, hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        self.names.push((from_s, name.to_owned(), hosts));
        self
    }

    /// No name is found between these times, seconds.
    #[must_use]
    pub fn lookups_fail(mut self, from_s: f64, to_s: f64) -> Self {
        self.lookups_fail.push((from_s, to_s));
        self
    }

    /// What must come of it.
    #[must_use]
    pub fn expect(mut self, expectation: Expectation) -> Self {
        self.expectations.push(expectation);
        self
    }

    /// How long it lasts, seconds.
    pub fn length_s(&self) -> f64 {
        self.length_s
    }

    /// Runs it with one seed and returns what was seen of every host with an engine.
    ///
    /// # Panics
    /// A scenario that names hosts it does not have, or a configuration that chronyd would refuse.
    pub fn run(&self, seed: u64) -> BTreeMap<String, Record> {
        let mut world = World::new(seed, self.begin);
        for (name, server) in &self.servers {
            world.add_server(name, server.clone());
        }
        if let Some((at_s, leap)) = self.leap {
            world.plan_leap_second(at_s, leap);
        }
        let first_client = self.servers.len();
        for (name, client) in &self.clients {
            world.add_client(name, self.set_up(client));
        }
        let host = |world: &World, name: &str| {
            world
                .host(name)
                .unwrap_or_else(|| panic!("there is no host {name}"))
        };
        for (from, to, path) in &self.paths {
            let (from, to) = (host(&world, from), host(&world, to));
            world.connect(from, to, path.clone());
        }
        for (from_s, name, hosts) in &self.names {
            let hosts = hosts.iter().map(|name| host(&world, name)).collect();
            world.name(*from_s, name, hosts);
        }
        for (from_s, to_s) in &self.lookups_fail {
            world.fail_lookups(*from_s, *to_s);
        }
        for (index, (_, client)) in self.clients.iter().enumerate() {
            for (at_s, act) in &client.acts {
                world.plan(*at_s, first_client + index, act.clone());
            }
        }
        world.run_until(self.length_s);
        let record = |index: usize| world.record(first_client + index).cloned().unwrap_or_default();
        self.clients
            .iter()
            .enumerate()
            .map(|(index, (name, _))| (name.clone(), record(index)))
            .collect()
    }

    /// Runs it with so many seeds, from 1, and fails if anything expected does not come true. With `SIM_SEED` in
    /// the environment only that one is run; with `SIM_PRINT` everything that happened is printed.
    ///
    /// # Panics
    /// When it fails; the message has the seeds.
    #[track_caller]
    pub fn check(&self, seeds: u64) {
        let seeds = match std::env::var("SIM_SEED").ok().and_then(|text| text.parse().ok()) {
            Some(seed) => seed..=seed,
            None => 1..=seeds,
        };
        if std::env::var_os("SIM_PRINT").is_some() {
            seeds.clone().for_each(|seed| self.print(seed));
        }
        let runs: Vec<(u64, Record)> = self.run_all(seeds);
        let complaints = judge(&self.expectations, &runs);
        assert!(
            complaints.is_empty(),
            "\n{}\nOne seed alone: SIM_SEED=n cargo test -p sim …\n",
            complaints.join("\n")
        );
    }

    /// Runs it with one seed and fails if anything expected does not come true.
    ///
    /// # Panics
    /// When it fails; the message has the seed.
    #[track_caller]
    pub fn check_one(&self, seed: u64) {
        let complaints = judge(&self.expectations, &self.run_some(&[seed]));
        assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    }

    /// Prints everything that one seed does.
    pub fn print(&self, seed: u64) {
        let records = self.run(seed);
        let Some(record) = records.get(CLIENT) else { return };
        println!("seed {seed}: second, offset in microseconds, frequency error in ppm");
        let mut log = record.log.iter().peekable();
        let mut sent = record.requests.iter().peekable();
        for (second, (offset_s, frequency)) in record.offsets_s.iter().zip(&record.frequencies).enumerate() {
            let until_s = number(second);
            while let Some((at_s, severity, line)) = log.next_if(|line| line.0 < until_s) {
                println!("{at_s:.3} {severity:?} {line}");
            }
            while let Some((at_s, host)) = sent.next_if(|request| request.0 < until_s) {
                println!("{at_s:.3} asks {}", World::address(*host));
            }
            println!("{second} {:.3} {:.6}", offset_s * 1e6, frequency * 1e6);
        }
    }

    /// Runs it with these seeds, on two threads, and returns what was seen of the client.
    ///
    /// # Panics
    /// When an engine does; the message has the seed.
    pub fn run_all(&self, seeds: std::ops::RangeInclusive<u64>) -> Vec<(u64, Record)> {
        let all: Vec<u64> = seeds.collect();
        let half = all.len().div_ceil(2).max(1);
        std::thread::scope(|scope| {
            let workers: Vec<_> = all
                .chunks(half)
                .map(|part| scope.spawn(|| self.run_some(part)))
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| {
                    worker
                        .join()
                        .unwrap_or_else(|cause| std::panic::resume_unwind(cause))
                })
                .collect()
        })
    }

    fn run_some(&self, seeds: &[u64]) -> Vec<(u64, Record)> {
        let run = |&seed: &u64| {
            let run = catch_unwind(AssertUnwindSafe(|| self.run(seed)));
            let mut records = run.unwrap_or_else(|cause| {
                eprintln!("seed {seed} panicked");
                std::panic::resume_unwind(cause)
            });
            (seed, records.remove(CLIENT).unwrap_or_default())
        };
        seeds.iter().map(run).collect()
    }

    fn set_up(&self, client: &Client) -> ClientSetup {
        ClientSetup {
            config: match &client.file {
                Some((dialect, text)) => read(*dialect, text),
                None => self.configured(&client.directives, client.by_name),
            },
            oscillator: client.oscillator.clone(),
            start_s: client.start_s,
            drift: client.drift,
            observe: client.observe,
            leap_table: client.leap_table.clone(),
            stamps: client.stamps,
            latency: client.latency,
            rtc: client.rtc.clone(),
        }
    }

    fn configured(&self, directives: &[String], by_name: bool) -> Config {
        let (mut config, diagnostics) = parse_arguments(directives, &NoFiles);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let names = || {
            self.servers
                .iter()
                .map(|(name, _)| name)
                .chain(self.clients.iter().map(|(name, _)| name))
        };
        for source in &mut config.sources {
            if !by_name
                && let SourceName::Name(name) = &source.name
                && let Some(host) = names().position(|own| own == name)
            {
                source.name = SourceName::Address(World::address(host));
            }
        }
        for server in config.initial_step.iter_mut().flat_map(|step| &mut step.servers) {
            if !by_name && let Some(host) = names().position(|own| own == server) {
                *server = World::address(host).to_string();
            }
        }
        config
    }
}

/// Reads a file whose daemon starts with it.
fn read(dialect: Dialect, text: &str) -> Config {
    let (config, diagnostics) = dialect.parse(FILE, &OneFile(text));
    let is_bad = |found: &&Diagnostic| found.severity > Severity::Warning;
    let bad: Vec<&Diagnostic> = diagnostics.iter().filter(is_bad).collect();
    assert!(bad.is_empty(), "{bad:?}");
    config
}

/// Where the one file of a host is.
const FILE: &str = "/etc/configuration";

/// A host with one file.
struct OneFile<'a>(&'a str);

impl Reader for OneFile<'_> {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        if path == FILE {
            Ok(self.0.to_owned())
        } else {
            Err(ReadError::NotFound)
        }
    }

    fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
        Err(ReadError::NotFound)
    }
}

/// A host without files.
struct NoFiles;

impl Reader for NoFiles {
    fn read_file(&self, _path: &str) -> Result<String, ReadError> {
        Err(ReadError::NotFound)
    }

    fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
        Err(ReadError::NotFound)
    }
}
