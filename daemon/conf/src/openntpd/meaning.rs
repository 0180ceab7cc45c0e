//! Statements to a configuration.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::lexer::{Lexer, Place, Token};
use super::statement::{self, Listening, Options, Statement};
use crate::chrony::{HostName, constraint_line, source_line};
use crate::config::{
    AccessRule, Config, Constraint, ConstraintUrl, ConstraintUrlError, InterfaceRule, InterfaceTarget,
    RateLimit, SourceConfig, SourceKind, SourceName, Subnet, Verdict,
};
use crate::diagnostic::{Diagnostic, Diagnostics, Placed, Severity, Span};
use crate::dialect::Reading;
use crate::explain::{Explanation, Fate};
use crate::include::{FILE_LENGTH_MAX, ReadError, Reader};

/// How many addresses of a name are asked: as many as OpenNTPD takes of one lookup.
const POOL_SOURCES_MAX: u8 = 8;

/// What limits the answers to one client, in chrony's words.
const RATE_LIMIT: &str = "ratelimit";

/// Why listening on one address adds nothing.
const EVERY_ADDRESS: &str = "listen on * is every address";

/// Reads the configuration at `path`, and tells what becomes of each line.
///
/// Never fails: what is wrong becomes a diagnostic, and reading goes on, so that all is said at once. With an error among
/// the diagnostics the daemon must not start; [`Diagnostic::as_original`] is the text that OpenNTPD prints for it. A last
/// line that does not end, which OpenNTPD refuses, is taken.
///
/// What every configuration of OpenNTPD asks for without saying it is in the [`Config`] too: servers are asked quickly in
/// the beginning, and the kernel is told that the clock is synchronised.
pub fn read(path: &str, reader: &dyn Reader) -> Reading {
    let mut meaning = Meaning::new(path.into());
    match reader.read_file(path) {
        Ok(text) if text.len() > FILE_LENGTH_MAX => {
            let message = format!("{path} is not read: it has more than {FILE_LENGTH_MAX} bytes");
            meaning.refuse_file(message);
        }
        Ok(text) => meaning.read(&text),
        // To the original a directory is an empty file.
        Err(ReadError::IsDirectory) => {}
        Err(error) => meaning.refuse_file(format!("{path}: {error}")),
    }
    meaning.finish()
}

/// Returns the number of lines of a text that are not of this language, at most `most`.
pub(crate) fn wrong_lines(text: &str, most: usize) -> usize {
    let mut lexer = Lexer::new(text);
    let lines = std::iter::from_fn(|| lexer.next_line());
    lines
        .filter(|(tokens, end)| !statement::read(tokens, *end).1.is_empty())
        .take(most)
        .count()
}

/// Fills a configuration.
struct Meaning {
    file: Arc<str>,
    config: Config,
    diagnostics: Diagnostics,
    lines: Vec<Explanation>,
    /// Where clients are answered, unless that is everywhere.
    listening: Vec<ListeningPlace>,
    /// The places of `listening`, to find them.
    listened: BTreeSet<Subnet>,
}

/// Where clients are answered, as one line says it.
struct ListeningPlace {
    /// The place of the line among the explanations.
    line: usize,
    /// An address, every one of a family, or those of a name.
    subnet: Subnet,
}

/// One line while it is read, with those that are joined to it.
struct Line<'a> {
    meaning: &'a mut Meaning,
    /// The lines of the whole text.
    texts: &'a [&'a str],
    /// What is said of it so far.
    explanation: Explanation,
}

impl Meaning {
    fn new(file: Arc<str>) -> Self {
        let mut config = Config::default();
        config.rtc.kernel_sync = true;
        Self {
            file,
            config,
            diagnostics: Diagnostics::default(),
            lines: Vec::new(),
            listening: Vec::new(),
            listened: BTreeSet::new(),
        }
    }

    /// Has clients be answered where that is said: by sockets that are bound to the address, where there is one of a family,
    /// and otherwise by rules on what comes to sockets that are bound to none.
    fn bind(&mut self) {
        let server = &mut self.config.server;
        let is_everywhere = server.access.contains(&allow(Subnet::Everyone));
        let of_family = |is_ipv6: bool| {
            let addresses = self.listening.iter().filter_map(|place| match &place.subnet {
                Subnet::Prefix { address, length } if address.is_ipv6() == is_ipv6 => {
                    Some((*address, *length > 0))
                }
                _ => None,
            });
            addresses.collect::<Vec<_>>()
        };
        let (of_v4, of_v6) = (of_family(false), of_family(true));
        let has_names = self.listening.len() > of_v4.len() + of_v6.len();
        let is_bound = !is_everywhere && !has_names && of_v4.len() <= 1 && of_v6.len() <= 1;
        (server.bind_ipv4, server.bind_ipv6) = (None, None);
        server.interfaces.clear();
        if is_bound {
            for (address, _) in of_v4.into_iter().chain(of_v6).filter(|(_, is_one)| *is_one) {
                match address {
                    IpAddr::V4(address) => server.bind_ipv4 = Some(address),
                    IpAddr::V6(address) => server.bind_ipv6 = Some(address),
                }
            }
        } else if !is_everywhere {
            let rule = |listen, subnet| InterfaceRule {
                listen,
                target: InterfaceTarget::Address(subnet),
            };
            let said = self
                .listening
                .iter()
                .map(|place| rule(true, place.subnet.clone()));
            server.interfaces = [rule(false, every(false)), rule(false, every(true))]
                .into_iter()
                .chain(said)
                .collect();
        }
    }

    fn refuse_file(&mut self, message: String) {
        let span = Span::of_file(Arc::clone(&self.file));
        self.diagnostics
            .push_or_stop(Diagnostic::of_file(Severity::Error, span, message));
    }

    fn read(&mut self, text: &str) {
        let texts = text.split('\n').collect::<Vec<_>>();
        let mut lexer = Lexer::new(text);
        while let Some((tokens, end)) = lexer.next_line() {
            self.line(text, &texts, &tokens, end);
            if self.diagnostics.is_full(Severity::Error) {
                return;
            }
        }
    }

    /// Reads the tokens of one line, which ends at `end`.
    fn line(&mut self, text: &str, texts: &[&str], tokens: &[Token], end: Place) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return;
        };
        let (statement, mistakes) = statement::read(tokens, end);
        let text = text.get(first.place.start..last.place.end).unwrap_or_default();
        let text = text.replace("\\\n", " ");
        let mut span = self.span(first.place);
        span.width = u32::try_from(text.chars().count().max(1)).unwrap_or(u32::MAX);
        let mut line = Line {
            explanation: Explanation {
                span,
                text,
                fate: Fate::Used,
                chrony: Vec::new(),
                left_out: Vec::new(),
                note: None,
            },
            meaning: self,
            texts,
        };
        for mistake in mistakes {
            line.push(Severity::Error, mistake.place, mistake.message, mistake.help);
            if line.meaning.diagnostics.is_full(Severity::Error) {
                break;
            }
        }
        if let Some(statement) = statement {
            line.take(statement);
        }
        let explanation = line.explanation;
        self.lines.push(explanation);
    }

    fn span(&self, place: Place) -> Span {
        Span {
            file: Arc::clone(&self.file),
            line: place.line,
            column: place.column,
            width: place.width,
        }
    }

    /// Adds what only the whole configuration can tell.
    fn finish(mut self) -> Reading {
        self.bind();
        self.diagnostics
            .sort_by_key(|found| (found.span.line == 0, found.span.line, found.span.column));
        Reading {
            config: self.config,
            diagnostics: self.diagnostics.into_vec(),
            lines: self.lines,
        }
    }
}

impl Line<'_> {
    fn take(&mut self, statement: Statement) {
        match statement {
            Statement::Listen { on, routing_table } => {
                if let Some(routing_table) = routing_table {
                    let message = "rtable is not used";
                    self.warn(routing_table, message, "Linux has no such routing tables");
                    let said = self.explanation.text.clone();
                    self.explanation.left_out.push(said);
                }
                self.listen(on);
            }
            Statement::Query { address, place } => self.query(address, place),
            Statement::Server {
                name,
                place,
                is_pool,
                options,
            } => self.server(name, is_pool, options, place),
            Statement::Sensor { device, place } => {
                self.explanation.fate = Fate::Ignored;
                self.explanation.note = Some("Linux has no sensors that tell the time".to_owned());
                if device != "*" {
                    let message = format!("there is no sensor {device}");
                    self.warn(
                        place,
                        &message,
                        "a reference clock is configured in chrony.conf, as refclock",
                    );
                    let said = self.explanation.text.clone();
                    self.explanation.left_out.push(said);
                }
            }
            Statement::Constraint {
                url,
                place,
                addresses,
                is_pool,
            } => self.constraint(&url, place, addresses, is_pool),
        }
    }

    /// Listens on an address, on those of a name, or on all.
    fn listen(&mut self, on: Listening) {
        let server = &mut self.meaning.config.server;
        // One client cannot have all answers, and nobody can be made to flood another.
        server.rate_limit = Some(RateLimit::NTP);
        let everyone = allow(Subnet::Everyone);
        if server.access.contains(&everyone) {
            return self.adds_nothing(EVERY_ADDRESS);
        }
        let (subnet, families) = match on {
            Listening::Everywhere => {
                server.access = vec![everyone];
                self.explanation.chrony = vec!["allow".to_owned(), RATE_LIMIT.to_owned()];
                for place in &self.meaning.listening {
                    if let Some(line) = self.meaning.lines.get_mut(place.line) {
                        line.chrony.clear();
                        line.fate = Fate::Ignored;
                        line.note = Some(EVERY_ADDRESS.to_owned());
                    }
                }
                self.meaning.listened.clear();
                return self.meaning.listening.clear();
            }
            Listening::Address(address) => (one(address), vec![every(address.is_ipv6())]),
            Listening::Name(name) => (Subnet::Name(name), vec![every(false), every(true)]),
        };
        let listened = &mut self.meaning.listened;
        if listened.contains(&subnet) {
            return self.adds_nothing("it is said before");
        }
        if let Subnet::Prefix { address, .. } = &subnet
            && listened.contains(&every(address.is_ipv6()))
        {
            return self.adds_nothing("every address of its family is said before");
        }
        listened.insert(subnet.clone());
        self.meaning.listening.push(ListeningPlace {
            line: self.meaning.lines.len(),
            subnet,
        });
        // The other family stays closed.
        let access = &mut self.meaning.config.server.access;
        let is_first = families
            .iter()
            .all(|family| !access.contains(&allow(family.clone())));
        for family in families {
            let rule = allow(family);
            if !access.contains(&rule) {
                access.push(rule);
            }
        }
        match self.meaning.listening.last().map(|place| &place.subnet) {
            Some(Subnet::Prefix { address, length }) if is_first => {
                let chrony = &mut self.explanation.chrony;
                if *length > 0 {
                    chrony.push(format!("bindaddress {address}"));
                }
                chrony.push(format!("allow {}/0", unspecified(address.is_ipv6())));
                chrony.push(RATE_LIMIT.to_owned());
            }
            _ => {
                let note = "chrony listens on one address of each family, or on all, and on no names";
                self.explanation.note = Some(note.to_owned());
            }
        }
    }

    /// Notes that the line is right and changes nothing.
    fn adds_nothing(&mut self, because: &str) {
        self.explanation.fate = Fate::Ignored;
        self.explanation.note = Some(because.to_owned());
    }

    /// Asks servers from an address.
    fn query(&mut self, address: IpAddr, place: Place) {
        let has_sources = !self.meaning.config.sources.is_empty();
        let client = &mut self.meaning.config.client;
        let before = match address {
            IpAddr::V4(address) => client.bind_ipv4.replace(address).map(IpAddr::V4),
            IpAddr::V6(address) => client.bind_ipv6.replace(address).map(IpAddr::V6),
        };
        self.explanation.chrony.push(format!("bindacqaddress {address}"));
        if !has_sources || before == Some(address) {
            return;
        }
        match before {
            None => {
                let message = "query from is used for the servers before it too";
                self.warn(
                    place,
                    message,
                    "timeballd asks all servers from one address; write it first",
                );
            }
            Some(before) => {
                let message = format!("query from {address} after {before} is not supported");
                self.error(place, &message, "timeballd asks all servers from one address");
            }
        }
    }

    fn server(&mut self, name: String, is_pool: bool, options: Options, place: Place) {
        if let Some(place) = options.weight_place
            && options.weight != 1
        {
            let help = "timeballd gives servers weight by how exactly it can measure them";
            self.warn(place, "weight is not used", help);
            let word = if is_pool { "servers" } else { "server" };
            let said = format!("{word} {name} weight {}", options.weight);
            self.explanation.left_out.push(said);
        }
        let address = name.parse::<IpAddr>();
        if address.is_err() && HostName::new(name.as_str()).is_err() {
            let message = "such a name cannot be looked up";
            self.explanation.fate = Fate::Refused;
            self.explanation.note = Some(message.to_owned());
            return self.warn(
                place,
                message,
                "timeballd goes on without; write a host name or an address",
            );
        }
        let name = match address {
            Ok(address) => SourceName::Address(address),
            Err(_) => SourceName::Name(name),
        };
        if let Some(weight) = u8::try_from(options.weight).ok().filter(|weight| *weight != 1) {
            self.meaning.config.weights.insert(name.to_string(), weight);
        }
        // All addresses of an address are one.
        let kind = match name {
            SourceName::Name(_) if is_pool => SourceKind::Pool,
            SourceName::Name(_) | SourceName::Address(_) => SourceKind::Server,
        };
        let mut source = SourceConfig::new(kind, name);
        source.iburst = true;
        source.select.trust = options.is_trusted;
        if kind == SourceKind::Pool {
            source.max_sources = POOL_SOURCES_MAX;
        }
        self.explanation.chrony.push(source_line(&source));
        self.meaning.config.sources.push(source);
    }

    /// Bounds the time of servers. One that can never be asked is no constraint, and to go on without would be to trust
    /// whom it guards.
    fn constraint(&mut self, url: &str, place: Place, addresses: Vec<IpAddr>, is_pool: bool) {
        let url = match ConstraintUrl::parse(url) {
            Ok(url) => url,
            Err(error) => {
                let help = match error {
                    ConstraintUrlError::Scheme => {
                        "write \"https://HOST/PATH\"; OpenNTPD takes all of it for the name of a host, which it looks up for ever"
                    }
                    _ => "write a host name, an address, or \"https://HOST/PATH\"",
                };
                return self.error(place, &format!("\"{url}\" cannot be asked: {error}"), help);
            }
        };
        let constraint = Constraint {
            url,
            addresses,
            is_pool,
        };
        self.explanation.chrony.push(constraint_line(&constraint));
        self.meaning.config.constraints.from.push(constraint);
    }

    fn warn(&mut self, place: Place, message: &str, help: &str) {
        self.report(Severity::Warning, place, message, help);
    }

    fn error(&mut self, place: Place, message: &str, help: &str) {
        self.report(Severity::Error, place, message, help);
    }

    fn report(&mut self, severity: Severity, place: Place, message: &str, help: &str) {
        self.push(severity, place, message.to_owned(), Some(help.to_owned()));
    }

    /// Adds what is found, which can be on a line that is joined to this.
    fn push(&mut self, severity: Severity, place: Place, message: String, help: Option<String>) {
        self.explanation.heed(severity, &message);
        let span = self.meaning.span(place);
        let file = Arc::clone(&span.file);
        let index = usize::try_from(place.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let text = self.texts.get(index).copied().unwrap_or_default();
        let make = || Diagnostic {
            severity,
            span,
            line_text: Diagnostic::line_text(text),
            message,
            help,
            placed: Placed::Before,
            unshown: 0,
        };
        self.meaning.diagnostics.push_with_or_stop(severity, &file, make);
    }
}

/// An address as a subnet; the unspecified one is all of its family.
fn one(address: IpAddr) -> Subnet {
    Subnet::Prefix {
        address,
        length: if address.is_unspecified() {
            0
        } else {
            Subnet::length_max(address)
        },
    }
}

/// Every address of a family.
fn every(is_ipv6: bool) -> Subnet {
    one(unspecified(is_ipv6))
}

const fn unspecified(is_ipv6: bool) -> IpAddr {
    if is_ipv6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    }
}

fn allow(subnet: Subnet) -> AccessRule {
    AccessRule {
        verdict: Verdict::Allow,
        all: false,
        subnet,
    }
}
