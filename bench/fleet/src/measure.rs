//! One controller, many simulated agents: broadcasts, single requests, idling, a restart.

use std::fs;
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use link::clock::since_boot;
use serde::Serialize;

use crate::api::{Api, Rows, Verb, Via};
use crate::controller::Controller;
use crate::figures::Series;
use crate::usage::{self, Memory};
use crate::{Fault, report, words};

/// How many requests to single hosts there are of each kind.
const SINGLE_REQUESTS: usize = 400;

/// What the disk alone is measured with.
const PAGE: [u8; 4096] = [0x5a; 4096];

/// How long agents may take to connect.
const CONNECT_PATIENCE: Duration = Duration::from_secs(600);

/// Time between two broadcasts, in which the controller finishes its records of the former.
const BREATH: Duration = Duration::from_millis(1000);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program to measure.
    #[arg(long, default_value = "target/release/timeball")]
    program: PathBuf,
    /// Directory for stores and logs; on a real disk.
    #[arg(long, default_value = "target/bench-fleet")]
    work: PathBuf,
    /// How many agents, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    agents: Vec<usize>,
    /// How many broadcasts of each kind.
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// How many seconds agents idle before the controller's memory is read.
    #[arg(long, default_value_t = 600)]
    idle: u64,
    /// File whose section of today is written; only printed when absent.
    #[arg(long)]
    results: Option<PathBuf>,
}

/// What came out for one number of agents. Times in seconds unless a name says otherwise.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Fleet {
    pub(crate) agents: usize,
    pub(crate) runs: usize,
    pub(crate) idle_s: u64,
    pub(crate) enrolled_in_s: f64,
    pub(crate) memory_empty: Memory,
    pub(crate) memory_idle: Memory,
    pub(crate) memory_after_broadcasts: Memory,
    pub(crate) idle_cpu_percent: f64,
    pub(crate) get: Broadcast,
    pub(crate) update: Broadcast,
    /// One host by name and any host, on a kept and on a new connection; milliseconds.
    pub(crate) single: Vec<(String, Series)>,
    /// What one durable write of 4 KiB costs on this disk in the same minute, without any program of ours;
    /// milliseconds.
    pub(crate) disk: Series,
    pub(crate) restart: Option<Restart>,
    pub(crate) stored_bytes: u64,
    pub(crate) agents_said: String,
    pub(crate) load_before: String,
    pub(crate) load_after: String,
    /// Share of the machine that other processes used during idling and during the broadcasts.
    pub(crate) others_idle_percent: f64,
    pub(crate) others_broadcast_percent: f64,
}

/// Broadcasts of one kind.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Broadcast {
    /// From the request to the last byte of the answer.
    pub(crate) wall: Series,
    /// From the request to each host's row, of the form that sends rows as they come: 50 % and 99 % of a
    /// broadcast's hosts.
    pub(crate) row_p50: Series,
    pub(crate) row_p99: Series,
    /// Processor time of the controller.
    pub(crate) cpu: Series,
    /// How many rows there were of all broadcasts together.
    pub(crate) ok: usize,
    pub(crate) not_ok: usize,
    pub(crate) missing: usize,
}

/// Stop and start of the controller.
#[derive(Debug, Serialize)]
pub(crate) struct Restart {
    pub(crate) stop_s: f64,
    pub(crate) ready_s: f64,
    /// From the start of the new process until so many per cent of the agents were back.
    pub(crate) half_back_s: f64,
    pub(crate) most_back_s: f64,
    pub(crate) all_back_s: f64,
    pub(crate) controller_cpu_s: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Fault> {
    let mut fleets = Vec::new();
    for &agents in &arguments.agents {
        let fleet = measure(arguments, agents)?;
        let json = arguments.work.join(format!("fleet-{agents}.json"));
        fs::write(&json, serde_json::to_vec_pretty(&fleet)?)?;
        fleets.push(fleet);
    }
    let text = report::fleet(&fleets);
    println!("{text}");
    match &arguments.results {
        Some(file) => report::put(file, "Fleet", &text),
        None => Ok(()),
    }
}

fn measure(arguments: &Arguments, agents: usize) -> Result<Fleet, Fault> {
    let say = |what: &str| eprintln!("{agents} agents: {what}");
    let files = usage::raise_open_files()?;
    if files < u64::try_from(agents)?.saturating_add(500) {
        return Err(format!("only {files} open files are allowed; raise `ulimit -Hn`").into());
    }
    let data = arguments.work.join(format!("controller-{agents}"));
    // What an earlier measurement left.
    let _ = fs::remove_dir_all(&data);
    let _ = fs::remove_file(data.with_extension("log"));
    let mut fleet = Fleet {
        agents,
        runs: arguments.runs,
        idle_s: arguments.idle,
        load_before: usage::load(),
        ..Fleet::default()
    };
    let mut controller = Controller::start(&arguments.program, &data)?;
    let api = controller.client()?;
    let token_file = data.join("enrolment-token");
    fs::write(&token_file, api.enrolment_token(agents)?)?;
    std::thread::sleep(Duration::from_secs(2));
    fleet.memory_empty = usage::memory(controller.pid())?;

    say("enrolling");
    let begun = since_boot();
    let crowd = Crowd::start(controller.link(), &token_file, agents)?;
    fleet.enrolled_in_s = crowd.wait_for(agents, begun)?.saturating_sub(begun).as_secs_f64();

    say("idling");
    idle(&mut fleet, &controller, &crowd)?;

    say("broadcasts");
    broadcasts(&mut fleet, &controller, &crowd, &api)?;

    say("single requests");
    fleet.disk = disk(&arguments.work)?;
    single(&mut fleet, &api)?;

    say("restart");
    fleet.restart = Some(restart(&mut controller, &crowd, agents)?);
    fleet.stored_bytes = controller.stored_bytes()?;
    fleet.agents_said = crowd.end()?;
    controller.stop()?;
    fleet.load_after = usage::load();
    Ok(fleet)
}

fn idle(fleet: &mut Fleet, controller: &Controller, crowd: &Crowd) -> Result<(), Fault> {
    let (own, machine, begun) = (
        usage::cpu(controller.pid())?,
        Others::start(controller, crowd)?,
        Instant::now(),
    );
    std::thread::sleep(Duration::from_secs(fleet.idle_s));
    let used = usage::cpu(controller.pid())?.saturating_sub(own);
    fleet.idle_cpu_percent = 100.0 * used.as_secs_f64() / begun.elapsed().as_secs_f64();
    fleet.others_idle_percent = machine.end(controller, crowd)?;
    fleet.memory_idle = usage::memory(controller.pid())?;
    Ok(())
}

fn broadcasts(fleet: &mut Fleet, controller: &Controller, crowd: &Crowd, api: &Api) -> Result<(), Fault> {
    let machine = Others::start(controller, crowd)?;
    for run in 0..fleet.runs {
        // Gets and updates in turn, so that both meet the same hour.
        for verb in [Verb::Get, Verb::Update(run % 2 == 0)] {
            let cpu = usage::cpu(controller.pid())?;
            let (took, rows) = api.ask(Via::Kept, verb, "_all")?;
            std::thread::sleep(BREATH);
            let used = usage::cpu(controller.pid())?.saturating_sub(cpu);
            let hosts = api.ask_for_events(again(verb), "_all")?;
            std::thread::sleep(BREATH);
            let broadcast = match verb {
                Verb::Get => &mut fleet.get,
                Verb::Update(_) => &mut fleet.update,
            };
            broadcast.wall.push(took.as_secs_f64());
            broadcast.cpu.push(used.as_secs_f64());
            broadcast.row_p50.push(hosts.percentile(50));
            broadcast.row_p99.push(hosts.percentile(99));
            broadcast.count(fleet.agents, rows);
            broadcast.missing += fleet.agents.saturating_sub(hosts.len());
        }
    }
    fleet.others_broadcast_percent = machine.end(controller, crowd)?;
    fleet.memory_after_broadcasts = usage::memory(controller.pid())?;
    Ok(())
}

/// The verb for the same thing once more, as another change.
fn again(verb: Verb) -> Verb {
    match verb {
        Verb::Get => Verb::Get,
        Verb::Update(first) => Verb::Update(!first),
    }
}

impl Broadcast {
    fn count(&mut self, agents: usize, rows: Rows) {
        self.ok += rows.ok;
        self.not_ok += rows.skipped + rows.failed;
        self.missing += agents.saturating_sub(rows.ok + rows.skipped + rows.failed);
    }
}

fn single(fleet: &mut Fleet, api: &Api) -> Result<(), Fault> {
    let host = words::hostname(fleet.agents / 2);
    let kinds = [
        (
            "get, one host, kept connection",
            Verb::Get,
            host.as_str(),
            Via::Kept,
        ),
        (
            "get, one host, new connection",
            Verb::Get,
            host.as_str(),
            Via::Anew,
        ),
        ("get, `_any`, kept connection", Verb::Get, "_any", Via::Kept),
        ("get, `_any`, new connection", Verb::Get, "_any", Via::Anew),
        (
            "update, one host, kept connection",
            Verb::Update(true),
            host.as_str(),
            Via::Kept,
        ),
    ];
    let mut measured: Vec<(String, Series)> = kinds
        .iter()
        .map(|(name, ..)| ((*name).to_owned(), Series::default()))
        .collect();
    for _ in 0..SINGLE_REQUESTS {
        for ((_, verb, target, via), (_, series)) in kinds.iter().zip(&mut measured) {
            let (took, rows) = api.ask(*via, *verb, target)?;
            if rows.ok != 1 {
                return Err(format!("{verb:?} {target}: {rows:?}").into());
            }
            series.push(took.as_secs_f64() * 1000.0);
        }
    }
    fleet.single = measured;
    Ok(())
}

/// Writes a page of a file that is there already and syncs it, as a store with a log does, again and again.
fn disk(work: &Path) -> Result<Series, Fault> {
    let path = work.join("disk-probe");
    let mut file = fs::File::create(&path)?;
    file.write_all(&vec![0; PAGE.len() * SINGLE_REQUESTS])?;
    file.sync_all()?;
    file.rewind()?;
    let mut series = Series::default();
    for _ in 0..SINGLE_REQUESTS {
        let begun = Instant::now();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        series.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    fs::remove_file(&path)?;
    Ok(series)
}

fn restart(controller: &mut Controller, crowd: &Crowd, agents: usize) -> Result<Restart, Fault> {
    let (stopped, ready) = controller.restart()?;
    let begun = since_boot().saturating_sub(ready);
    let most = agents.saturating_mul(99).div_ceil(100);
    let back = |count: usize| -> Result<f64, Fault> {
        Ok(crowd.wait_for(count, begun)?.saturating_sub(begun).as_secs_f64())
    };
    let (half_back_s, most_back_s, all_back_s) = (back(agents.div_ceil(2))?, back(most)?, back(agents)?);
    let controller_cpu_s = usage::cpu(controller.pid())?.as_secs_f64();
    let deadline = Instant::now() + Duration::from_secs(30);
    let api = controller.client()?;
    while api.ready()? < u64::try_from(agents)? {
        if Instant::now() > deadline {
            return Err("the controller counts fewer ready hosts than are connected".into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(Restart {
        stop_s: stopped.as_secs_f64(),
        ready_s: ready.as_secs_f64(),
        half_back_s,
        most_back_s,
        all_back_s,
        controller_cpu_s,
    })
}

/// When `count` agents were connected, after the fewest were since `after`: a controller that was stopped loses
/// its agents one by one.
fn reached(told: &[(usize, Duration)], count: usize, after: Duration) -> Option<Duration> {
    let told = told.iter().filter(|(_, at)| *at >= after);
    let (_, fewest_at) = told.clone().min_by_key(|(connected, _)| *connected)?;
    told.filter(|(connected, at)| at >= fewest_at && *connected >= count)
        .map(|(_, at)| *at)
        .next()
}

/// What other processes use of the machine over a time.
struct Others {
    begun: Instant,
    used: Duration,
}

impl Others {
    fn start(controller: &Controller, crowd: &Crowd) -> Result<Self, Fault> {
        Ok(Others {
            begun: Instant::now(),
            used: Others::used(controller, crowd)?,
        })
    }

    /// Per cent of all cores.
    fn end(self, controller: &Controller, crowd: &Crowd) -> Result<f64, Fault> {
        let used = Others::used(controller, crowd)?.saturating_sub(self.used);
        let cores = u32::try_from(std::thread::available_parallelism().map_or(1, usize::from))?;
        Ok(100.0 * used.as_secs_f64() / (self.begun.elapsed().as_secs_f64() * f64::from(cores)))
    }

    fn used(controller: &Controller, crowd: &Crowd) -> Result<Duration, Fault> {
        let ours =
            usage::cpu(controller.pid())? + usage::cpu(crowd.process.id())? + usage::cpu(std::process::id())?;
        Ok(usage::machine_cpu()?.saturating_sub(ours))
    }
}

/// The process of the simulated agents.
struct Crowd {
    process: Child,
    leash: Option<ChildStdin>,
    told: Arc<Told>,
    listener: Option<JoinHandle<()>>,
}

/// What the agents' process has told: how many were connected since when.
#[derive(Default)]
struct Told {
    lines: Mutex<(Vec<(usize, Duration)>, String)>,
    more: Condvar,
}

impl Crowd {
    fn start(link: &str, token_file: &Path, agents: usize) -> Result<Self, Fault> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([
                "agents",
                "--link",
                link,
                "--agents",
                &agents.to_string(),
                "--token-file",
            ])
            .arg(token_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let leash = process.stdin.take();
        let output = process.stdout.take().ok_or("no output of the agents")?;
        let told = Arc::new(Told::default());
        let listener = std::thread::spawn({
            let told = Arc::clone(&told);
            move || told.listen(BufReader::new(output))
        });
        Ok(Crowd {
            process,
            leash,
            told,
            listener: Some(listener),
        })
    }

    /// Waits until so many are connected; gives when, since boot, that was the case first after `after`.
    fn wait_for(&self, count: usize, after: Duration) -> Result<Duration, Fault> {
        let deadline = Instant::now() + CONNECT_PATIENCE;
        let mut lines = self.told.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(at) = reached(&lines.0, count, after) {
                return Ok(at);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let now = lines.0.last().map_or(0, |(connected, _)| *connected);
                return Err(format!("only {now} of {count} agents are connected").into());
            }
            lines = self
                .told
                .more
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Ends the agents; gives what they say at their end.
    fn end(mut self) -> Result<String, Fault> {
        if let Some(mut leash) = self.leash.take() {
            leash.flush()?;
        }
        if let Some(listener) = self.listener.take() {
            listener.join().map_err(|_| "the listener broke")?;
        }
        self.process.wait()?;
        Ok(self
            .told
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .clone())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Told {
    fn listen(&self, output: impl BufRead) {
        for line in output.lines().map_while(Result::ok) {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let mut words = line.split(' ');
            match (
                words.next(),
                words.next().map(str::parse),
                words.next().map(str::parse),
            ) {
                (Some("connected"), Some(Ok(connected)), Some(Ok(at))) => {
                    lines.0.push((connected, Duration::from_millis(at)));
                }
                _ => lines.1 = line.trim_start_matches("done ").to_owned(),
            }
            drop(lines);
            self.more.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_that_are_still_being_lost_are_not_back() {
        let at = Duration::from_millis;
        let told = [(9, at(10)), (5, at(20)), (1, at(30)), (6, at(40)), (9, at(50))];
        assert_eq!(reached(&told, 5, at(15)), Some(at(40)));
        assert_eq!(reached(&told, 9, at(15)), Some(at(50)));
        assert_eq!(reached(&told[..3], 5, at(15)), None);
    }
}
