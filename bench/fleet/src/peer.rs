//! Ansible and timeball put the same kind of change into force on the same hosts, in turn.
//!
//! Both write one file of servers into the directory that chronyd reads sources from and have chronyd load it.
//! timeball also checks that chronyd has the servers, records what it wrote and answers with a row per host.
//! After each run, outside of the time that counts, every chronyd is asked whether it has the new servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::api::Api;
use crate::controller::Controller;
use crate::figures::Series;
use crate::hosts::Host;
use crate::{Fault, report, usage};

/// How long hosts may take to join.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program to measure.
    #[arg(long, default_value = "target/release/timeball")]
    program: PathBuf,
    /// Directory for hosts, stores and logs; on a real disk.
    #[arg(long, default_value = "target/bench-fleet")]
    work: PathBuf,
    /// How many hosts.
    #[arg(long, default_value_t = 20)]
    hosts: u32,
    /// How many rounds; in each, every kind runs once.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// File whose section of today is written; only printed when absent.
    #[arg(long)]
    results: Option<PathBuf>,
}

/// One kind of run.
#[derive(Debug, Serialize)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Seconds of the whole command.
    pub(crate) wall: Series,
    /// Processor seconds of the command, the hosts and the controller.
    pub(crate) cpu: Series,
    /// Wall time divided by that of timeball's run before it.
    pub(crate) ratio: Series,
    #[serde(skip)]
    runner: Runner,
    /// Whether each run brings new servers.
    #[serde(skip)]
    changes: bool,
}

/// What is run.
#[derive(Clone, Copy, Debug)]
enum Runner {
    Timeball,
    Ansible { tuned: bool, strategy: &'static str },
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Peer {
    pub(crate) hosts: u32,
    pub(crate) ansible: String,
    pub(crate) chrony: String,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) load_before: String,
    pub(crate) load_after: String,
}

/// The hosts and what manages them.
struct Stage {
    work: PathBuf,
    program: PathBuf,
    data: PathBuf,
    controller: Controller,
    hosts: Vec<Host>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Fault> {
    let (ansible, chrony) = versions()?;
    let load_before = usage::load();
    let stage = Stage::build(arguments)?;
    let tuned = |strategy| Runner::Ansible {
        tuned: true,
        strategy,
    };
    let plain = Runner::Ansible {
        tuned: false,
        strategy: "linear",
    };
    let mut kinds = [
        ("timeball, change", Runner::Timeball, true),
        ("Ansible tuned, linear, change", tuned("linear"), true),
        ("Ansible tuned, free, change", tuned("free"), true),
        ("Ansible as installed, change", plain, true),
        ("timeball, nothing to change", Runner::Timeball, false),
        ("Ansible tuned, linear, nothing to change", tuned("linear"), false),
    ]
    .map(|(name, runner, changes)| Kind {
        name,
        wall: Series::default(),
        cpu: Series::default(),
        ratio: Series::default(),
        runner,
        changes,
    });
    // The first round warms caches and does not count.
    let mut edition = 0;
    for round in 0..=arguments.rounds {
        let mut timeball = f64::NAN;
        for kind in &mut kinds {
            edition += u32::from(kind.changes);
            let (wall, cpu) = stage.timed(kind.runner, edition)?;
            eprintln!("{}: {wall:.3} s", kind.name);
            if matches!(kind.runner, Runner::Timeball) {
                timeball = wall;
            }
            if round > 0 {
                kind.wall.push(wall);
                kind.cpu.push(cpu);
                kind.ratio.push(wall / timeball);
            }
        }
    }
    let peer = Peer {
        hosts: arguments.hosts,
        ansible,
        chrony,
        kinds: kinds.into(),
        load_before,
        load_after: usage::load(),
    };
    fs::write(
        arguments.work.join("peer.json"),
        serde_json::to_vec_pretty(&peer)?,
    )?;
    let text = report::peer(&peer);
    println!("{text}");
    match &arguments.results {
        Some(file) => report::put(file, "Fleet beside Ansible", &text),
        None => Ok(()),
    }
}

fn versions() -> Result<(String, String), Fault> {
    let first_line = |program: &str, package: &str| -> Result<String, Fault> {
        let output = Command::new(program)
            .arg("--version")
            .output()
            .map_err(|error| format!("{program}: {error}; install it: apt-get install {package}"))?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned())
    };
    Ok((
        first_line("ansible-playbook", "ansible-core")?,
        first_line("chronyd", "chrony")?,
    ))
}

impl Stage {
    fn build(arguments: &Arguments) -> Result<Self, Fault> {
        fs::create_dir_all(&arguments.work)?;
        let work = arguments.work.canonicalize()?.join("peer");
        let program = arguments.program.canonicalize()?;
        let data = work.join("controller");
        let _ = fs::remove_dir_all(&data);
        let controller = Controller::start(&program, &data)?;
        let api = controller.client()?;
        let token = api.enrolment_token(usize::try_from(arguments.hosts)?)?;
        let hosts = (1..=arguments.hosts)
            .map(|number| Host::start(&work, number, &program, controller.link(), &token))
            .collect::<Result<Vec<_>, _>>()?;
        let stage = Stage {
            work,
            program,
            data,
            controller,
            hosts,
        };
        stage.wait_for_hosts(&api)?;
        stage.write_playbooks()?;
        // From here on every host is managed, and an update is an update.
        stage.timeball("create", 0)?;
        Ok(stage)
    }

    fn wait_for_hosts(&self, api: &Api) -> Result<(), Fault> {
        let deadline = Instant::now() + JOIN_PATIENCE;
        let wanted = u64::try_from(self.hosts.len())?;
        loop {
            let ready = api.ready()?;
            let daemons = self.hosts.iter().filter(|host| host.sources().is_ok()).count();
            if ready == wanted && daemons == self.hosts.len() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let logs = self.work.display();
                return Err(format!(
                    "{ready} agents and {daemons} chronyds of {wanted} are ready; logs: {logs}"
                )
                .into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs once; gives wall and processor seconds.
    fn timed(&self, runner: Runner, edition: u32) -> Result<(f64, f64), Fault> {
        let cpu = self.cpu()?;
        let begun = Instant::now();
        match runner {
            Runner::Timeball => self.timeball("update", edition)?,
            Runner::Ansible { tuned, strategy } => self.ansible(tuned, strategy, edition)?,
        }
        let wall = begun.elapsed().as_secs_f64();
        let used = self.cpu()?.saturating_sub(cpu).as_secs_f64();
        self.check(runner, edition)?;
        Ok((wall, used))
    }

    fn timeball(&self, verb: &str, edition: u32) -> Result<(), Fault> {
        let mut command = Command::new(&self.program);
        command
            .args(["client", "node", "ntp", verb, "--target", "_all", "--servers"])
            .arg(servers(Who::Timeball, edition).join(","))
            .env("TIMEBALL_DATA", &self.data);
        ended_well(&mut command)
    }

    fn ansible(&self, tuned: bool, strategy: &str, edition: u32) -> Result<(), Fault> {
        let home = self.work.join("ansible");
        let mut command = Command::new("ansible-playbook");
        command
            .arg("--inventory")
            .arg(home.join("inventory"))
            .arg("--extra-vars")
            .arg(format!(r#"{{"servers": {:?}}}"#, servers(Who::Ansible, edition)))
            .arg(home.join(if tuned { "tuned.yml" } else { "plain.yml" }))
            .current_dir(&home)
            .env(
                "ANSIBLE_CONFIG",
                home.join(if tuned { "tuned.cfg" } else { "plain.cfg" }),
            )
            .env("ANSIBLE_STRATEGY", strategy);
        ended_well(&mut command)
    }

    /// Every chronyd has the servers of this edition.
    fn check(&self, runner: Runner, edition: u32) -> Result<(), Fault> {
        let who = match runner {
            Runner::Timeball => Who::Timeball,
            Runner::Ansible { .. } => Who::Ansible,
        };
        let wanted = servers(who, edition);
        for host in &self.hosts {
            let sources = host.sources()?;
            let own = wanted.iter().filter(|server| sources.contains(server)).count();
            if own != wanted.len() {
                return Err(format!("{} has {sources:?} and not {wanted:?}", host.root.display()).into());
            }
        }
        Ok(())
    }

    fn cpu(&self) -> Result<Duration, Fault> {
        let mut used = usage::ended_children_cpu()? + usage::cpu(self.controller.pid())?;
        for host in &self.hosts {
            used += host.cpu()?;
        }
        Ok(used)
    }

    fn write_playbooks(&self) -> Result<(), Fault> {
        let home = self.work.join("ansible");
        fs::create_dir_all(&home)?;
        let lines: String = self.hosts.iter().map(inventory_line).collect();
        fs::write(home.join("inventory"), format!("[fleet]\n{lines}"))?;
        fs::write(home.join("sources.j2"), TEMPLATE)?;
        fs::write(home.join("tuned.yml"), PLAYBOOK.replace("GATHER", "false"))?;
        fs::write(home.join("plain.yml"), PLAYBOOK.replace("GATHER", "true"))?;
        fs::write(home.join("tuned.cfg"), TUNED)?;
        fs::write(home.join("plain.cfg"), "")?;
        Ok(())
    }
}

/// Whose servers: each has its own, because chronyd takes an address once.
#[derive(Clone, Copy)]
enum Who {
    Timeball,
    Ansible,
}

fn servers(who: Who, edition: u32) -> Vec<String> {
    let net = match who {
        Who::Timeball => 1,
        Who::Ansible => 2,
    };
    (1..=4)
        .map(|server| format!("127.{net}.{}.{server}", edition % 200))
        .collect()
}

fn ended_well(command: &mut Command) -> Result<(), Fault> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!(
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&said)
    )
    .into())
}

fn inventory_line(host: &Host) -> String {
    let name = host.root.file_name().unwrap_or_default().display();
    let (root, socket) = (host.root.display(), host.socket());
    format!(
        "{name} ansible_connection=local ansible_python_interpreter=/usr/bin/python3 root={root} socket={}\n",
        Path::new(&socket).display()
    )
}

const TEMPLATE: &str = "\
# {{ ansible_managed }}
{% for server in servers %}
server {{ server }} iburst
{% endfor %}
";

const PLAYBOOK: &str = "\
- hosts: fleet
  gather_facts: GATHER
  tasks:
    - name: servers
      ansible.builtin.template:
        src: sources.j2
        dest: \"{{ root }}/etc/chrony/sources.d/ansible.sources\"
        mode: \"0644\"
      notify: reload
  handlers:
    - name: reload
      ansible.builtin.command: chronyc -h {{ socket }} reload sources
";

const TUNED: &str = "\
[defaults]
forks = 20
gathering = explicit
[connection]
pipelining = true
";
