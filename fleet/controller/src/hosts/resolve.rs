//! From a target to the hosts that are meant.

use super::{BTreeMap, Host, HostError, HostState, Hosts, Invalid, Target};

/// The hosts that a target means, sorted by what can be done with them. Keys are machine ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Every host that is meant, with its name: each will have a row in the answer.
    pub expected: BTreeMap<String, String>,
    /// Those among them that are connected here and take jobs.
    pub reachable: Vec<String>,
    /// Those that are not connected, and what to say of them.
    pub absent: BTreeMap<String, String>,
    /// Those that were taken out of service.
    pub drained: Vec<String>,
}

impl Hosts {
    /// Finds the hosts of a target.
    ///
    /// # Errors
    /// [`Invalid`] when it means nobody: an unknown name, a label that no host carries, no accepted host.
    pub fn resolve(&self, target: &Target) -> Result<Resolution, Invalid> {
        let nobody = |problem: String, remedy: &str| Err(Invalid::new("", problem, remedy.to_owned()));
        let meant: Vec<String> = match target {
            Target::Host(name) => match self.machine_id(name, Host::is_accepted) {
                Ok(machine_id) => vec![machine_id],
                Err(HostError::Unknown(_)) => return self.not_found(name),
                Err(error) => return nobody(error.to_string(), "a machine id names exactly one host"),
            },
            Target::Any => match self.pick() {
                Some(machine_id) => vec![machine_id],
                None => {
                    return nobody(
                        "no host is ready".to_owned(),
                        "see `timeball client agent list` for those that are known",
                    );
                }
            },
            Target::All => self.accepted(|_| true),
            Target::Label(label) => self.accepted(|host| label.selects(&host.record.facts.labels)),
        };
        if meant.is_empty() {
            return match target {
                Target::Label(label) => nobody(
                    format!("no host carries the label {label}"),
                    "see `timeball client agent list` for the labels there are",
                ),
                Target::Any | Target::All | Target::Host(_) => nobody(
                    "no host has been accepted yet".to_owned(),
                    "see `timeball client agent list --pending` for those that wait",
                ),
            };
        }
        Ok(self.sort(meant))
    }

    fn not_found(&self, name: &str) -> Result<Resolution, Invalid> {
        let pending = self
            .machine_id(name, |host| host.record.state == HostState::Pending)
            .is_ok();
        let shown: String = name.chars().take(100).collect();
        Err(if pending {
            Invalid::new(
                "",
                format!("target agent \"{shown}\" waits to be accepted"),
                format!("accept it with `timeball client agent accept --hostname {shown}`"),
            )
        } else {
            Invalid::new(
                "",
                format!("target agent \"{shown}\" not found"),
                "see `timeball client agent list` for the hosts there are",
            )
        })
    }

    fn accepted(&self, may: impl Fn(&Host) -> bool) -> Vec<String> {
        self.read(|hosts| {
            hosts
                .iter()
                .filter(|(_, host)| host.is_accepted() && may(host))
                .map(|(machine_id, _)| machine_id.clone())
                .collect()
        })
    }

    /// Picks one ready host, each as likely as the others.
    fn pick(&self) -> Option<String> {
        let number = uuid::Uuid::new_v4().as_u128();
        self.read(|hosts| {
            let ready = || {
                hosts.iter().filter(|(_, host)| {
                    host.record.state == HostState::Ready && host.is_heard(self.silent_after)
                })
            };
            let count = u128::try_from(ready().count()).unwrap_or(1).max(1);
            let chosen = usize::try_from(number % count).unwrap_or(0);
            // One may have fallen silent since they were counted.
            let picked = ready().nth(chosen).or_else(|| ready().next());
            picked.map(|(machine_id, _)| machine_id.clone())
        })
    }

    fn sort(&self, meant: Vec<String>) -> Resolution {
        self.read(|hosts| {
            let mut resolution = Resolution::default();
            for machine_id in meant {
                let Some(host) = hosts.get(&machine_id) else {
                    continue;
                };
                resolution
                    .expected
                    .insert(machine_id.clone(), host.record.facts.hostname.clone());
                if host.record.state != HostState::Ready {
                    resolution.drained.push(machine_id);
                } else if host.live.is_some() {
                    resolution.reachable.push(machine_id);
                } else {
                    let seen = match host.last_seen() {
                        Some(at) => format!("last seen {}", at.strftime("%Y-%m-%d %H:%M:%S UTC")),
                        None => "never seen".to_owned(),
                    };
                    resolution
                        .absent
                        .insert(machine_id, format!("agent is not connected; {seen}"));
                }
            }
            resolution
        })
    }
}
