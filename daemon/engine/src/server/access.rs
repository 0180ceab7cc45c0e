//! Who may ask, decided as chrony decides it.

use std::net::IpAddr;

use conf::config::{AccessRule, Subnet, Verdict};

/// How many bits of an address one level of the tree decides.
const BITS_PER_LEVEL: u8 = 4;

/// How many nodes one level has below each node of the level above.
const FANOUT: usize = 16;

/// How many tables of 16 nodes one tree may have: 2 MiB, or rules for 500 single IPv6 addresses that have
/// nothing in common.
const TABLES_MAX: usize = 16_384;

/// Holds who may ask.
///
/// A tree per address family with one level for each four bits of an address. A rule of length *n* stands in
/// the nodes at depth ⌈*n*/4⌉ that it covers and replaces the verdicts in exactly those; a rule with `all` also
/// removes the verdicts below them. The deepest node with a verdict on an address's path decides. Nobody may
/// ask in the beginning. An IPv4 address written in IPv6 (`::ffff:1.2.3.4`) is an IPv6 address.
/// Source: observed with chronyd 4.3.
#[derive(Debug, Clone)]
pub struct Access {
    ipv4: Tree,
    ipv6: Tree,
}

/// Why a rule was not taken. The rules are as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessError {
    /// The length does not fit the address's family.
    Length,
    /// The rule is about a name, which has to be looked up first.
    Name,
    /// There are too many rules.
    Full,
}

impl Default for Access {
    fn default() -> Self {
        Self::new()
    }
}

impl Access {
    /// Returns rules by which nobody may ask.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ipv4: Tree::new(),
            ipv6: Tree::new(),
        }
    }

    /// Takes one more rule, after all others.
    ///
    /// # Errors
    /// The rule cannot be taken; nothing has changed.
    pub fn set(&mut self, rule: &AccessRule) -> Result<(), AccessError> {
        match rule.subnet {
            Subnet::Everyone => {
                self.ipv4.set(0, 0, rule.verdict, rule.all)?;
                self.ipv6.set(0, 0, rule.verdict, rule.all)
            }
            Subnet::Prefix { address, length } if length > Subnet::length_max(address) => {
                Err(AccessError::Length)
            }
            Subnet::Prefix { address, length } => {
                let tree = match address {
                    IpAddr::V4(_) => &mut self.ipv4,
                    IpAddr::V6(_) => &mut self.ipv6,
                };
                tree.set(left_aligned(address), length, rule.verdict, rule.all)
            }
            Subnet::Name(_) => Err(AccessError::Name),
        }
    }

    /// Reports whether `address` may ask.
    #[must_use]
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        let tree = match address {
            IpAddr::V4(_) => &self.ipv4,
            IpAddr::V6(_) => &self.ipv6,
        };
        tree.verdict(left_aligned(address)) == Verdict::Allow
    }

    /// Reports whether some rule lets some IPv4 address ask: whether the port has to be open.
    #[must_use]
    pub fn allows_any_ipv4(&self) -> bool {
        self.ipv4.allows_any()
    }

    /// Reports whether some rule lets some IPv6 address ask: whether the port has to be open.
    #[must_use]
    pub fn allows_any_ipv6(&self) -> bool {
        self.ipv6.allows_any()
    }
}

/// The verdicts for one address family; addresses are the high bits of 128.
#[derive(Debug, Clone)]
struct Tree {
    root: Node,
    tables: Vec<[Node; FANOUT]>,
    /// Tables that nothing leads to any more.
    free: Vec<usize>,
}

/// One node: its own verdict, if any, and the table of the nodes below it, if any.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    verdict: Option<Verdict>,
    below: Option<u32>,
}

impl Node {
    fn table(self) -> Option<usize> {
        self.below.and_then(|table| usize::try_from(table).ok())
    }
}

impl Tree {
    const fn new() -> Self {
        Self {
            root: Node {
                verdict: Some(Verdict::Deny),
                below: None,
            },
            tables: Vec::new(),
            free: Vec::new(),
        }
    }

    fn set(&mut self, bits: u128, length: u8, verdict: Verdict, all: bool) -> Result<(), AccessError> {
        let depth = length.div_ceil(BITS_PER_LEVEL);
        let Some(level) = depth.checked_sub(1) else {
            let below = self.root.table();
            self.root.verdict = Some(verdict);
            if all {
                self.root.below = None;
                self.release(below);
            }
            return Ok(());
        };
        let table = self.reach(bits, level)?;
        let covered = 1 << (depth * BITS_PER_LEVEL - length);
        let first = nibble(bits, level) & !(covered - 1);
        for place in first..first + covered {
            let node = &mut self.tables[table][place];
            node.verdict = Some(verdict);
            if all {
                let below = node.table();
                node.below = None;
                self.release(below);
            }
        }
        Ok(())
    }

    /// Returns the table at `level` on the way to `bits`, made if it is not there, as are those above it.
    fn reach(&mut self, bits: u128, level: u8) -> Result<usize, AccessError> {
        let there = self.tables_on_the_way(bits).take(usize::from(level) + 1).count();
        let missing = usize::from(level) + 1 - there;
        if self.tables.len() - self.free.len() + missing > TABLES_MAX {
            return Err(AccessError::Full);
        }
        let mut table = self.below_root()?;
        for level in 0..level {
            let place = nibble(bits, level);
            table = match self.tables[table][place].table() {
                Some(below) => below,
                None => {
                    let below = self.claim();
                    self.tables[table][place].below = Some(number(below)?);
                    below
                }
            };
        }
        Ok(table)
    }

    fn below_root(&mut self) -> Result<usize, AccessError> {
        if let Some(table) = self.root.table() {
            return Ok(table);
        }
        let table = self.claim();
        self.root.below = Some(number(table)?);
        Ok(table)
    }

    fn claim(&mut self) -> usize {
        if let Some(table) = self.free.pop() {
            return table;
        }
        self.tables.push([Node::default(); FANOUT]);
        self.tables.len() - 1
    }

    /// Gives back a table and everything below it.
    fn release(&mut self, table: Option<usize>) {
        let mut leaving: Vec<usize> = table.into_iter().collect();
        while let Some(table) = leaving.pop() {
            leaving.extend(self.tables[table].iter().filter_map(|node| node.table()));
            self.tables[table] = [Node::default(); FANOUT];
            self.free.push(table);
        }
    }

    fn tables_on_the_way(&self, bits: u128) -> impl Iterator<Item = &[Node; FANOUT]> {
        let mut level = 0;
        let mut next = self.root.table();
        std::iter::from_fn(move || {
            let table = &self.tables[next?];
            next = table[nibble(bits, level)].table();
            level += 1;
            Some(table)
        })
    }

    fn verdict(&self, bits: u128) -> Verdict {
        let mut verdict = self.root.verdict;
        for (table, level) in self.tables_on_the_way(bits).zip(0..) {
            verdict = table[nibble(bits, level)].verdict.or(verdict);
        }
        verdict.unwrap_or(Verdict::Deny)
    }

    fn allows_any(&self) -> bool {
        // Tables that are free hold no verdicts.
        let mut nodes = self.tables.iter().flatten();
        self.root.verdict == Some(Verdict::Allow) || nodes.any(|node| node.verdict == Some(Verdict::Allow))
    }
}

/// Returns the number of a table as nodes keep it; [`TABLES_MAX`] fits.
fn number(table: usize) -> Result<u32, AccessError> {
    u32::try_from(table).map_err(|_| AccessError::Full)
}

fn left_aligned(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Returns the four bits that decide at `level`, 0…31.
fn nibble(bits: u128, level: u8) -> usize {
    let byte = bits.to_be_bytes()[usize::from(level / 2)];
    usize::from(if level.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 15
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> AccessRule {
        let mut words = text.split(' ').peekable();
        let verdict = match words.next() {
            Some("allow") => Verdict::Allow,
            _ => Verdict::Deny,
        };
        let all = words.next_if_eq(&"all").is_some();
        let subnet = match words.next() {
            None => Subnet::Everyone,
            Some(subnet) => {
                let (address, length) = subnet.split_once('/').unwrap_or((subnet, ""));
                let address: IpAddr = address.parse().unwrap();
                let length = length.parse().unwrap_or(Subnet::length_max(address));
                Subnet::Prefix { address, length }
            }
        };
        AccessRule { verdict, all, subnet }
    }

    fn check(rules: &[&str], allowed: &[&str], denied: &[&str]) {
        let mut access = Access::new();
        for text in rules {
            access.set(&rule(text)).unwrap();
        }
        for address in allowed {
            assert!(
                access.is_allowed(address.parse().unwrap()),
                "{rules:?}: {address}"
            );
        }
        for address in denied {
            assert!(
                !access.is_allowed(address.parse().unwrap()),
                "{rules:?}: {address}"
            );
        }
    }

    /// Every line was asked of chronyd 4.3 with `chronyc accheck`.
    #[test]
    fn answers_are_those_of_chronyd() {
        check(&[], &[], &["127.0.0.1", "::1"]);
        check(
            &["allow 1.2.3.4", "allow 1.2.3.0/28", "deny 1.2.3.0/27"],
            &["1.2.3.4"],
            &["1.2.3.5", "1.2.3.31", "1.2.3.32"],
        );
        check(
            &["allow 1.2.3.4", "deny 1.2.3.0/27", "allow all 1.2.3.0/24"],
            &["1.2.3.4", "1.2.3.5", "1.2.3.255"],
            &["1.2.4.0"],
        );
        check(
            &[
                "allow 1.2.3.0/24",
                "deny 1.2.3.0/26",
                "allow 1.2.3.16/28",
                "deny 1.2.3.0/25",
            ],
            &["1.2.3.128"],
            &["1.2.3.16", "1.2.3.64"],
        );
        check(
            &["allow 1.2.3.0/25", "deny all 1.2.3.0/26"],
            &["1.2.3.64"],
            &["1.2.3.1"],
        );
        check(&["allow 1.2.3.4", "deny 0.0.0.0/0"], &["1.2.3.4"], &["1.2.3.5"]);
        check(&["allow 0.0.0.0/0"], &["1.2.3.5"], &["::1", "2001:db8::1"]);
        check(&["allow"], &["9.9.9.9", "2001:db8::1"], &[]);
        check(
            &["allow", "deny 2001:db8::/33", "allow ::/0"],
            &["2001:db8:8000::1", "2001:db9::1"],
            &["2001:db8::1", "2001:db8:7fff::1"],
        );
        check(
            &["deny 2001:db8::/33", "allow all ::/0"],
            &["2001:db8::1", "2001:db9::1"],
            &[],
        );
        check(
            &["allow 1.2.3.9/24", "deny 1.2.3.4", "allow 1.2.0.0/16"],
            &["1.2.3.1", "1.2.9.9"],
            &["1.2.3.4"],
        );
        check(
            &["allow ::ffff:1.2.9.9", "deny 1.2.9.9"],
            &["::ffff:1.2.9.9"],
            &[],
        );
        check(
            &["allow 128.0.0.0/1"],
            &["128.0.0.1", "255.0.0.1"],
            &["127.0.0.1"],
        );
        check(
            &["allow 128.0.0.0/1", "deny all 128.0.0.0/1", "allow 0.0.0.0/0"],
            &["127.0.0.1"],
            &["128.0.0.1", "255.0.0.1"],
        );
    }

    #[test]
    fn the_port_is_needed_when_somebody_may_ask() {
        let mut access = Access::new();
        assert!(!access.allows_any_ipv4() && !access.allows_any_ipv6());
        access.set(&rule("allow 10.0.0.0/8")).unwrap();
        assert!(access.allows_any_ipv4() && !access.allows_any_ipv6());
        access.set(&rule("deny all")).unwrap();
        assert!(!access.allows_any_ipv4());
        access.set(&rule("allow")).unwrap();
        assert!(access.allows_any_ipv4() && access.allows_any_ipv6());
    }

    #[test]
    fn rules_that_cannot_be_taken_change_nothing() {
        let mut access = Access::new();
        assert_eq!(access.set(&rule("allow 1.2.3.4/33")), Err(AccessError::Length));
        let named = AccessRule {
            subnet: Subnet::Name("ntp.example".into()),
            ..rule("allow")
        };
        assert_eq!(access.set(&named), Err(AccessError::Name));
        assert!(!access.allows_any_ipv4());
    }

    #[test]
    fn there_is_a_most_and_space_comes_back() {
        let mut access = Access::new();
        let single = |number: u128| AccessRule {
            verdict: Verdict::Allow,
            all: false,
            subnet: Subnet::Prefix {
                address: IpAddr::V6((number << 100 | number).into()),
                length: 128,
            },
        };
        let taken = (0..u128::MAX)
            .take_while(|&number| access.set(&single(number)).is_ok())
            .count();
        assert!((500..2000).contains(&taken), "{taken}");
        assert!(access.ipv6.tables.len() <= TABLES_MAX);
        assert_eq!(access.set(&rule("deny 8000::/4")), Ok(()));
        access.set(&rule("allow all")).unwrap();
        assert_eq!(access.set(&single(1 << 20)), Ok(()));
    }

    /// The rules as a list of nodes, each with the moment it was set: what the description says, without a tree.
    #[derive(Default)]
    struct Model {
        /// Depth in nibbles, leading bits, verdict.
        nodes: Vec<(u32, u32, Verdict)>,
    }

    impl Model {
        fn set(&mut self, bits: u32, length: u32, verdict: Verdict, all: bool) {
            let depth = length.div_ceil(4);
            let prefix = |bits: u32, length: u32| bits.checked_shr(32 - length).unwrap_or(0);
            if all {
                self.nodes.retain(|&(node_depth, node, _)| {
                    let node_bits = node.checked_shl(32 - node_depth * 4).unwrap_or(0);
                    !(node_depth >= depth && prefix(node_bits, length) == prefix(bits, length))
                });
            }
            let candidates = if depth == 0 {
                0..1
            } else {
                0..1 << (depth * 4 - length)
            };
            for low in candidates {
                let high = prefix(bits, length).checked_shl(depth * 4 - length).unwrap_or(0);
                let node = high | low;
                self.nodes.retain(|&(at, which, _)| (at, which) != (depth, node));
                self.nodes.push((depth, node, verdict));
            }
        }

        fn is_allowed(&self, bits: u32) -> bool {
            let on_path = self
                .nodes
                .iter()
                .filter(|&&(depth, node, _)| bits.checked_shr(32 - depth * 4).unwrap_or(0) == node);
            let deepest = on_path.max_by_key(|&&(depth, ..)| depth);
            deepest.is_some_and(|&(.., verdict)| verdict == Verdict::Allow)
        }
    }

    proptest! {
        #[test]
        fn the_tree_decides_as_described(
            rules in vec((0u32..64, 0u32..=32, any::<bool>(), prop::bool::weighted(0.2)), 0..25),
            addresses in vec(0u32..64, 40),
        ) {
            // Six bits spread over the address, so that rules and addresses meet at every depth.
            let spread = |six: u32| (0..6).fold(0, |bits, at| bits | ((six >> at) & 1) << (at * 6 + at / 5));
            let (mut access, mut model) = (Access::new(), Model::default());
            for (six, length, allow, all) in rules {
                let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
                let address = IpAddr::V4(spread(six).into());
                let subnet = Subnet::Prefix { address, length: u8::try_from(length).unwrap() };
                access.set(&AccessRule { verdict, all, subnet }).unwrap();
                model.set(spread(six), length, verdict, all);
            }
            for six in addresses {
                let bits = spread(six);
                prop_assert_eq!(access.is_allowed(IpAddr::V4(bits.into())), model.is_allowed(bits));
            }
        }
    }
}
