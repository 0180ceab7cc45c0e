//! Answering those who operate the daemon: what it can tell, what can be done to it, and in which protocols.
//!
//! [`report`] has what the daemon tells and [`operate`] what can be done to its sources, both in the words of no
//! protocol; [`access`] is who may ask. `candm` is `chronyc`'s protocol, [`mode6`] that of `ntpq`, [`metrics`] a page of
//! numbers. [`manual`] keeps the times that somebody typed. Nothing here acts upon the world; a reply is an [`Output`]
//! like all else.

pub mod access;
mod candm;
pub mod manual;
pub mod metrics;
pub mod mode6;
pub mod operate;
pub mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use conf::config::{self, OpenCommand, RateLimit};

use crate::Engine;
use crate::io::{ControlPeer, Now, Output};
use crate::server::access::Access;
use access::NamedRule;
use manual::Manual;

/// What the command protocol depends on beside the engine's parts.
#[derive(Debug, Clone)]
pub struct Control {
    /// Who may ask over UDP, beside the loopback addresses.
    pub(crate) access: Access,
    /// What may be asked over UDP.
    open: BTreeSet<OpenCommand>,
    /// How often others than the loopback addresses are answered over UDP.
    rate_limit: Option<RateLimit>,
    /// Typed times.
    pub(crate) manual: Manual,
    /// Rules whose names have no address yet.
    named_rules: Vec<NamedRule>,
    /// The addresses that the names in rules had last.
    addresses_of_names: BTreeMap<String, Vec<IpAddr>>,
    /// How many questions about such names there were.
    named: u32,
}

impl Control {
    /// Begins with the rules of the configuration. Those about names come later, with the addresses of the names.
    pub fn new(config: &config::Control) -> Self {
        let mut access = Access::new();
        for rule in &config.access {
            // The configuration has checked its subnets.
            let _checked = access.set(rule);
        }
        Self {
            access,
            open: config.open_commands.clone(),
            rate_limit: config.rate_limit,
            manual: Manual::new(config.manual),
            named_rules: Vec::new(),
            addresses_of_names: BTreeMap::new(),
            named: 0,
        }
    }

    /// Takes the rules of a new configuration. Those about names come later, with the addresses that the names have now.
    pub(crate) fn take_rules(&mut self, new: Self) {
        self.access = new.access;
        self.rate_limit = new.rate_limit;
        self.named_rules.clear();
    }
}

impl Engine {
    /// Takes in a request of the command protocol; the reply, if there is one, is an output.
    pub(crate) fn control(&mut self, now: Now, peer: ControlPeer, bytes: &[u8]) {
        let Some(answer) = candm::answer(self, now, &peer, bytes) else {
            return;
        };
        self.out.push(Output::ControlReply {
            peer,
            bytes: answer.bytes,
        });
        if answer.is_last {
            self.terminate(now);
        }
    }
}
