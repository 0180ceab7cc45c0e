//! On which network interfaces clients are answered.

use std::collections::BTreeMap;

use conf::config::{InterfaceRule, InterfaceTarget};
use os::{Received, interface_index, interface_name};
use units::Mono;

use crate::log::Log;

/// For how long the name of an interface is remembered, seconds: a name can go over to another interface.
const REMEMBERED_S: f64 = 60.0;

/// The rules, and the names of the interfaces that were looked up for them.
#[derive(Debug, Default)]
pub(crate) struct Interfaces {
    rules: Vec<InterfaceRule>,
    names: BTreeMap<u32, (String, Mono)>,
}

impl Interfaces {
    /// Takes the rules. An interface that is not there yet is warned about; its rule counts when it is there.
    pub(crate) fn new(rules: Vec<InterfaceRule>, log: &mut Log) -> Self {
        for rule in &rules {
            if let InterfaceTarget::Name(name) = &rule.target
                && !name.contains(['*', '?', '['])
                && interface_index(name).is_none()
            {
                log.warn(&format!(
                    "There is no interface {name} : its rule counts as soon as there is one"
                ));
            }
        }
        Self {
            rules,
            names: BTreeMap::new(),
        }
    }

    /// Whether a datagram that came to the port of the server came where clients are answered.
    pub(crate) fn answers(&mut self, datagram: &Received, now: Mono) -> bool {
        if self.rules.is_empty() {
            return true;
        }
        let Some(to) = datagram.to else { return false };
        let index = datagram.interface;
        let is_fresh = |(_, at): &(String, Mono)| now < at.plus_seconds(REMEMBERED_S);
        if !self.names.get(&index).is_some_and(is_fresh) {
            let name = interface_name(index).unwrap_or_default();
            self.names.insert(index, (name, now));
        }
        let name = self.names.get(&index).map_or("", |(name, _)| name.as_str());
        InterfaceRule::answers(&self.rules, name, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::threshold;

    #[test]
    fn what_came_by_another_interface_is_not_answered() {
        let index = interface_index("lo").unwrap();
        let datagram = |to: &str| Received {
            length: 48,
            from: "127.0.0.1:50000".parse().unwrap(),
            to: Some(to.parse().unwrap()),
            interface: index,
            stamp: None,
        };
        let rule = |listen, name: &str| InterfaceRule {
            listen,
            target: InterfaceTarget::Name(name.to_owned()),
        };
        let mut log = Log::to_stderr(threshold(3));
        let now = Mono(0);
        assert!(Interfaces::default().answers(&datagram("192.0.2.1"), now));
        let mut of = |rules: &[InterfaceRule], to: &str| {
            Interfaces::new(rules.to_vec(), &mut log).answers(&datagram(to), now)
        };
        assert!(of(&[rule(true, "lo")], "192.0.2.1"));
        assert!(!of(&[rule(true, "none0")], "192.0.2.1"));
        assert!(of(&[rule(true, "none0")], "127.0.0.1"));
        assert!(!of(&[rule(false, "l*")], "127.0.0.1"));
        let nowhere = Received {
            to: None,
            ..datagram("127.0.0.1")
        };
        assert!(!Interfaces::new(vec![rule(true, "lo")], &mut log).answers(&nowhere, now));
    }
}
