//! The real controller and real agents, running in the laboratory's hosts, asked through the real command line.

#![allow(
    clippy::panic,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    reason = "what a test cannot start is a failed test; not every test that includes this uses all of it"
)]

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Host, Lab, Output, Process, eventually};

/// The program under test.
pub const TIMEBALL: &str = env!("CARGO_BIN_EXE_timeball");

/// How long a fleet may take to come up or to come back.
pub const UP: Duration = Duration::from_secs(60);

/// A controller in the hub and an agent on each host.
pub struct Fleet {
    /// The hosts.
    pub lab: Lab,
    /// The controller's process.
    pub controller: Process,
    agents: Vec<(String, Process)>,
}

/// What the command line answered.
pub struct Answer {
    /// Exit status.
    pub code: i32,
    /// The body, when `--json` was asked for and there was one.
    pub json: Value,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

impl Answer {
    /// The row of a host.
    pub fn row(&self, hostname: &str) -> &Value {
        self.rows()
            .iter()
            .find(|row| row["hostname"] == hostname)
            .unwrap_or_else(|| panic!("no row of {hostname} in {}", self.json))
    }

    /// All rows.
    pub fn rows(&self) -> &[Value] {
        match self.json["results"].as_array() {
            Some(rows) => rows,
            None => panic!("no rows: status {}\n{}\n{}", self.code, self.stdout, self.stderr),
        }
    }

    /// `status` of a host, with `changed` in brackets where there is one: `ok(true)`.
    pub fn status(&self, hostname: &str) -> String {
        let row = self.row(hostname);
        let status = row["status"].as_str().unwrap_or("none");
        match row["changed"].as_bool() {
            Some(changed) => format!("{status}({changed})"),
            None => status.to_owned(),
        }
    }

    /// Error text of a host.
    pub fn error(&self, hostname: &str) -> String {
        self.row(hostname)["error"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Fleet {
    /// Starts a controller in the hub of `lab` and an agent on each host, and waits until all are ready.
    /// `labels` gives the lines below `labels:` for a host.
    pub fn start(lab: Lab, labels: impl Fn(&str) -> String) -> Self {
        let shared = lab.shared().to_owned();
        let settings = format!(
            "controller:\n  data: {}\n  heartbeat: 1s\n  api:\n    listen: 127.0.0.1:8080\n  link:\n    \
             listen: 0.0.0.0:8443\n    advertise: controller.lab:8443\n",
            shared.join("controller").display()
        );
        std::fs::write(shared.join("controller.yaml"), settings).expect("settings are written");
        let controller = start_controller(&lab);
        let mut fleet = Fleet {
            lab,
            controller,
            agents: Vec::new(),
        };
        fleet.controller_is_ready();
        let token = fleet.client(&["agent", "token", "create", "--uses", "1000", "--json"]);
        let token = token.json["token"]
            .as_str()
            .unwrap_or_else(|| panic!("{}", token.stderr))
            .to_owned();
        let token_file = shared.join("enrolment.token");
        std::fs::write(&token_file, token).expect("the token is written");
        for host in fleet.lab.hosts() {
            let settings = format!(
                "agent:\n  controller: controller.lab:8443\n  enrolment_token_file: {}\n  data: /var/lib/timeball\n  \
                 container: host\n{}",
                token_file.display(),
                labels(host.name())
            );
            host.write("/etc/timeball/timeball.yaml", &settings);
        }
        let names: Vec<String> = fleet
            .lab
            .hosts()
            .iter()
            .map(|host| host.name().to_owned())
            .collect();
        for name in &names {
            fleet.start_agent(name, &[]);
        }
        fleet.everyone_is_ready(names.len());
        fleet
    }

    /// Waits until the controller answers.
    pub fn controller_is_ready(&self) {
        eventually(UP, "the controller is ready", || {
            let answer = self.client(&["health", "ready", "--json"]);
            match answer.json["status"].as_str() {
                Some("ready") => Ok(()),
                _ => Err(format!(
                    "{}{}\n{}",
                    answer.stdout,
                    answer.stderr,
                    self.controller.log()
                )),
            }
        });
    }

    /// Waits until `count` hosts are ready.
    pub fn everyone_is_ready(&self, count: usize) {
        eventually(UP, "every agent is ready", || {
            let answer = self.client(&["agent", "list", "--json"]);
            let ready = answer.json["agents"]
                .as_array()
                .map(|agents| agents.iter().filter(|agent| agent["status"] == "Ready").count());
            match ready {
                Some(ready) if ready == count => Ok(()),
                _ => Err(format!("{ready:?} of {count} are ready: {}", answer.stderr)),
            }
        });
    }

    /// Runs `timeball client …` beside the controller.
    pub fn client(&self, args: &[&str]) -> Answer {
        let data = self.data().display().to_string();
        let mut command = vec![TIMEBALL, "--data", &data, "client"];
        command.extend(args);
        answer(self.lab.hub_run(&command))
    }

    /// Runs `timeball client node ntp VERB --target TARGET …` with `--json`.
    pub fn ntp(&self, verb: &str, target: &str, more: &[&str]) -> Answer {
        let mut args = vec!["node", "ntp", verb, "--target", target, "--json"];
        args.extend(more);
        self.client(&args)
    }

    /// The controller's data directory.
    pub fn data(&self) -> PathBuf {
        self.lab.shared().join("controller")
    }

    /// The process of a host's agent.
    pub fn agent(&self, name: &str) -> &Process {
        &self
            .agents
            .iter()
            .find(|(host, _)| host == name)
            .unwrap_or_else(|| panic!("no agent on {name}"))
            .1
    }

    /// Starts the agent of a host, in place of one that has ended.
    pub fn start_agent(&mut self, name: &str, env: &[(&str, &str)]) {
        let process = self.lab.host(name).spawn_with(&[TIMEBALL, "agent"], env);
        self.agents.retain(|(host, _)| host != name);
        self.agents.push((name.to_owned(), process));
    }

    /// Kills the agent of a host where it stands.
    pub fn kill_agent(&self, name: &str) {
        self.agent(name).destroy();
    }

    /// Kills the controller where it stands.
    pub fn kill_controller(&self) {
        self.controller.destroy();
    }

    /// Starts the controller again.
    pub fn restart_controller(&mut self) {
        self.controller = start_controller(&self.lab);
        self.controller_is_ready();
    }
}

fn start_controller(lab: &Lab) -> Process {
    let settings = lab.shared().join("controller.yaml").display().to_string();
    lab.hub_spawn(&[TIMEBALL, "--config", &settings, "controller"])
}

fn answer(output: Output) -> Answer {
    Answer {
        code: output.code,
        json: serde_json::from_str(&output.stdout).unwrap_or(Value::Null),
        stdout: output.stdout,
        stderr: output.stderr,
    }
}

/// The file that timeball manages on a Debian host.
pub const MANAGED: &str = "/etc/chrony/sources.d/timeball.sources";

/// Names of the sources that a host's real chronyd has now, as its own chronyc says, each once, sorted.
pub fn sources_of(host: &Host) -> Vec<String> {
    let mut names = host.source_names();
    names.sort();
    names.dedup();
    names
}
