//! Hosts that wait to be accepted.

use askama::Template;
use askama::filters::HtmlSafe;
use model::host::PendingAgentInfo;

use crate::ui::text::shown;

/// How many waiting hosts are shown at once, and with those folded away; anybody can ask to join.
const FIRST_MAX: usize = 3;
const SHOWN_MAX: usize = 20;

/// The waiting hosts, oldest first.
#[derive(Clone, Debug, PartialEq, Template)]
#[template(path = "parts/pending.html")]
pub(crate) struct Pending {
    total: usize,
    first: Vec<Waiting>,
    others: Vec<Waiting>,
}

// The template escapes what it shows.
impl HtmlSafe for Pending {}

#[derive(Clone, Debug, PartialEq)]
struct Waiting {
    hostname: String,
    machine_id: String,
    fingerprint: String,
    requested_at: String,
    /// The command that accepts exactly this key.
    command: String,
}

impl Pending {
    /// Makes it from the hosts that wait, oldest first.
    pub(crate) fn of(pending: &[PendingAgentInfo]) -> Self {
        let waiting = |host: &PendingAgentInfo| Waiting {
            hostname: shown(&host.hostname),
            machine_id: shown(&host.machine_id),
            fingerprint: shown(&host.fingerprint),
            requested_at: crate::ui::clock::minute(&host.requested_at),
            command: format!(
                "timeball client agent accept --hostname {} --fingerprint {}",
                argument(&host.hostname),
                argument(&host.fingerprint)
            ),
        };
        let mut first: Vec<Waiting> = pending.iter().take(SHOWN_MAX).map(waiting).collect();
        let others = first.split_off(first.len().min(FIRST_MAX));
        Pending {
            total: pending.len(),
            first,
            others,
        }
    }

    fn hidden(&self) -> usize {
        self.total - self.first.len() - self.others.len()
    }
}

/// Writes a host's word so that a shell takes it as one argument, whatever is in it.
fn argument(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        text.to_owned()
    } else {
        format!("'{}'", shown(text).replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_one_argument() {
        assert_eq!(argument("web-01.lab"), "web-01.lab");
        assert_eq!(argument("x; rm -rf /"), "'x; rm -rf /'");
        assert_eq!(argument("a'b"), r"'a'\''b'");
        assert_eq!(argument("--all"), "'--all'");
    }
}
