//! Tokens of one line to a statement.

use std::net::{IpAddr, Ipv6Addr};

use super::lexer::{KEYWORDS, LexicalError, Place, Token, TokenKind};
use crate::chrony::HostName;
use crate::include::{BYTE_ORDER_MARK, NOT_UTF8_HELP};

/// The largest correction of a sensor in either direction, microseconds (ntpd.conf(5)).
const CORRECTION_MAX_US: i64 = 127_000_000;

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Statement {
    /// `listen on`
    Listen {
        /// Where.
        on: Listening,
        /// Where the routing table is said, if it is.
        routing_table: Option<Place>,
    },
    /// `query from`
    Query {
        address: IpAddr,
        /// Where that is said.
        place: Place,
    },
    /// `server` and `servers`
    Server {
        name: String,
        /// Where that is said.
        place: Place,
        /// Whether all its addresses are asked.
        is_pool: bool,
        options: Options,
    },
    /// `sensor`
    Sensor {
        /// The device; `*` is all.
        device: String,
        /// Where that is said.
        place: Place,
    },
    /// `constraint from` and `constraints from`
    Constraint {
        url: String,
        /// Where that is said.
        place: Place,
        /// Where the host is asked; empty: at the addresses of its name.
        addresses: Vec<IpAddr>,
        /// Whether each address of the name is a constraint of its own.
        is_pool: bool,
    },
}

/// Where clients are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listening {
    /// At every address.
    Everywhere,
    /// At this one.
    Address(IpAddr),
    /// At those of a name, or at one that says its link.
    Name(String),
}

/// What follows the name of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    /// How often its offset counts in the median, 1…10; default 1.
    pub(super) weight: i64,
    /// Where the weight is said, if it is.
    pub(super) weight_place: Option<Place>,
    /// Whether it needs no constraint; default no.
    pub(super) is_trusted: bool,
}

/// Why a line is no statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Where.
    pub(super) place: Place,
    /// The text of the original program.
    pub(super) message: String,
    /// What to write.
    pub(super) help: Option<String>,
}

/// Reads the tokens of one line; `end` is where the line ends. All mistakes that can be told apart are returned, at
/// least one if there is no statement.
pub(super) fn read(tokens: &[Token], end: Place) -> (Option<Statement>, Vec<Mistake>) {
    let mut reading = Reading {
        tokens,
        end,
        at: 0,
        mistakes: Vec::new(),
    };
    let statement = reading.statement();
    // A value out of range does not hide what follows it, but what follows a syntax error means nothing.
    let statement = statement.filter(|_| reading.mistakes.is_empty());
    (statement, reading.mistakes)
}

/// Whether this is an address of IPv6 with the link that it is on, such as `fe80::1%eth0`.
fn has_link(name: &str) -> bool {
    let parts = name.split_once('%');
    parts.is_some_and(|(address, link)| address.parse::<Ipv6Addr>().is_ok() && !link.is_empty())
}

struct Reading<'a> {
    tokens: &'a [Token],
    end: Place,
    at: usize,
    mistakes: Vec<Mistake>,
}

impl Reading<'_> {
    fn statement(&mut self) -> Option<Statement> {
        const HELP: &str = "a line begins with listen on, query from, server, servers, sensor, constraint from or constraints from";
        let statement = match self.keyword() {
            Some("listen") => self.listen()?,
            Some("query") => self.query()?,
            Some("server") => self.server(false)?,
            Some("servers") => self.server(true)?,
            Some("sensor") => self.sensor()?,
            Some(word @ ("constraint" | "constraints")) => self.constraint(word == "constraints")?,
            _ => return self.syntax_error(self.help_for_first().as_deref().unwrap_or(HELP)),
        };
        Some(statement)
    }

    fn help_for_first(&self) -> Option<String> {
        let TokenKind::Word(word) = &self.tokens.first()?.kind else {
            return None;
        };
        let small = word.to_ascii_lowercase();
        let keyword = KEYWORDS.into_iter().find(|keyword| *keyword == small)?;
        Some(format!("write {keyword}, in small letters and without quotes"))
    }

    fn listen(&mut self) -> Option<Statement> {
        self.expect("on", "write: listen on ADDRESS")?;
        let (name, place) = self.word("an address, or * for all addresses, is missing")?;
        let mut routing_table = None;
        while self.keyword_is("rtable") {
            let place = self.place();
            self.at += 1;
            self.number("rtable takes the number of a routing table")?;
            routing_table = Some(place);
        }
        self.finish("after the address only rtable may follow")?;
        let on = match (name.as_str(), name.parse()) {
            ("*", _) => Listening::Everywhere,
            (_, Ok(address)) => Listening::Address(address),
            // The original looks names up at this point, and the daemon when it starts.
            (_, Err(_)) if HostName::new(name.as_str()).is_ok() || has_link(&name) => Listening::Name(name),
            (_, Err(_)) => {
                let help =
                    "write an address of this host, a name that stands for some, or * for all addresses";
                return self.mistake(place, format!("could not resolve \"{name}\""), help);
            }
        };
        Some(Statement::Listen { on, routing_table })
    }

    fn query(&mut self) -> Option<Statement> {
        self.expect("from", "write: query from ADDRESS")?;
        let (name, place) = self.word("an address of this host is missing")?;
        self.finish("after the address nothing may follow")?;
        match name.parse() {
            Ok(address) => Some(Statement::Query { address, place }),
            Err(_) => {
                let help = "write an address of this host, such as 192.0.2.1";
                self.mistake(place, format!("invalid IPv4 or IPv6 address: {name}"), help)
            }
        }
    }

    fn server(&mut self, is_pool: bool) -> Option<Statement> {
        let (name, place) = self.word("the name or the address of a server is missing")?;
        let options = self.options(false)?;
        self.check_host(&name, place)?;
        Some(Statement::Server {
            name,
            place,
            is_pool,
            options,
        })
    }

    fn sensor(&mut self) -> Option<Statement> {
        let (device, place) = self.word("the name of a sensor, or * for all, is missing")?;
        self.options(true)?;
        Some(Statement::Sensor { device, place })
    }

    /// Reads the options of a server or a sensor, to the end of the line.
    fn options(&mut self, is_sensor: bool) -> Option<Options> {
        let mut options = Options {
            weight: 1,
            weight_place: None,
            is_trusted: false,
        };
        while let Some(keyword) = self.keyword_here() {
            let place = self.place();
            match keyword {
                "trusted" => {
                    self.at += 1;
                    options.is_trusted = true;
                }
                "weight" => {
                    self.at += 1;
                    let weight = self.number("weight takes a number from 1 to 10")?;
                    self.check_range(weight, 1, 10, "weight must be between 1 and 10".to_owned());
                    options.weight = weight;
                    options.weight_place = Some(place);
                }
                "correction" if is_sensor => {
                    self.at += 1;
                    let correction = self.number("correction takes a number of microseconds")?;
                    let max = CORRECTION_MAX_US;
                    let message = format!("correction must be between -{max} and {max} microseconds");
                    self.check_range(correction, -max, max, message);
                }
                "stratum" if is_sensor => {
                    self.at += 1;
                    let stratum = self.number("stratum takes a number from 1 to 15")?;
                    self.check_range(stratum, 1, 15, "stratum must be between 1 and 15".to_owned());
                }
                "refid" if is_sensor => {
                    self.at += 1;
                    let (id, place) = self.word("refid takes 1 to 4 characters; a number needs quotes")?;
                    if !(1..=4).contains(&id.len()) {
                        self.mistakes.push(Mistake {
                            place,
                            message: "refid must be 1 to 4 characters".to_owned(),
                            help: None,
                        });
                    }
                }
                _ => break,
            }
        }
        self.finish(if is_sensor {
            "options of a sensor are correction, refid, stratum, weight and trusted"
        } else {
            "options of a server are weight and trusted"
        })?;
        Some(options)
    }

    fn constraint(&mut self, is_pool: bool) -> Option<Statement> {
        self.expect("from", "write: constraint from \"https://HOST/\"")?;
        let (url, place) = self.word("a URL in quotes is missing, such as \"https://www.example.com/\"")?;
        let host = match url.strip_prefix("https://") {
            Some(rest) => rest.split(['/', '\\']).next().unwrap_or_default(),
            None => &url,
        };
        self.check_host(host, place)?;
        let mut addresses = Vec::new();
        while !is_pool && self.at < self.tokens.len() {
            let (address, place) = self.word("after the URL only addresses may follow")?;
            if let Ok(address) = address.parse() {
                addresses.push(address);
            } else {
                let help = "these are the addresses at which the URL's host is asked";
                self.mistake::<()>(place, "url can only be followed by IP addresses".to_owned(), help);
            }
        }
        self.finish("after the URL nothing may follow; constraint from, without s, takes addresses")?;
        Some(Statement::Constraint {
            url,
            place,
            addresses,
            is_pool,
        })
    }

    /// Refuses what stands for every address where one host is meant.
    fn check_host(&mut self, name: &str, place: Place) -> Option<()> {
        if name == "*" {
            let message = "IPv4 or IPv6 address or hostname expected".to_owned();
            return self.mistake(place, message, "* is for listen on and sensor only");
        }
        Some(())
    }

    fn check_range(&mut self, number: i64, min: i64, max: i64, message: String) {
        if !(min..=max).contains(&number) {
            let place = self.tokens.get(self.at - 1).map_or(self.end, |token| token.place);
            self.mistakes.push(Mistake {
                place,
                message,
                help: None,
            });
        }
    }

    /// Returns where the next token is, or would be.
    fn place(&self) -> Place {
        self.tokens.get(self.at).map_or(self.end, |token| token.place)
    }

    fn kind(&self) -> Option<&TokenKind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn keyword_here(&self) -> Option<&'static str> {
        match self.kind() {
            Some(TokenKind::Keyword(keyword)) => Some(keyword),
            _ => None,
        }
    }

    fn keyword_is(&self, keyword: &str) -> bool {
        self.keyword_here() == Some(keyword)
    }

    fn keyword(&mut self) -> Option<&'static str> {
        let keyword = self.keyword_here()?;
        self.at += 1;
        Some(keyword)
    }

    fn expect(&mut self, keyword: &str, help: &str) -> Option<()> {
        if self.keyword_is(keyword) {
            self.at += 1;
            return Some(());
        }
        self.syntax_error(help)
    }

    fn word(&mut self, help: &str) -> Option<(String, Place)> {
        let place = self.place();
        match self.kind() {
            Some(TokenKind::Word(word)) => {
                let word = word.clone();
                self.at += 1;
                Some((word, place))
            }
            Some(TokenKind::Keyword(keyword)) => {
                let help = format!("{keyword} is a keyword; as a name it needs quotes");
                self.syntax_error(&help)
            }
            _ => self.syntax_error(help),
        }
    }

    fn number(&mut self, help: &str) -> Option<i64> {
        match self.kind() {
            Some(TokenKind::Number(number)) => {
                let number = *number;
                self.at += 1;
                Some(number)
            }
            _ => self.syntax_error(help),
        }
    }

    /// Sees to it that nothing follows.
    fn finish(&mut self, help: &str) -> Option<()> {
        match self.kind() {
            None => Some(()),
            Some(_) => self.syntax_error(help),
        }
    }

    /// Says that the next token is not what is expected.
    fn syntax_error<T>(&mut self, help: &str) -> Option<T> {
        let place = self.place();
        let (message, help) = match self.kind() {
            Some(TokenKind::Wrong(error)) => lexical(error),
            Some(TokenKind::Character(character)) => (
                "syntax error".to_owned(),
                help_for(*character).map_or_else(|| help.to_owned(), str::to_owned),
            ),
            _ => ("syntax error".to_owned(), help.to_owned()),
        };
        self.mistake(place, message, &help)
    }

    fn mistake<T>(&mut self, place: Place, message: String, help: &str) -> Option<T> {
        self.mistakes.push(Mistake {
            place,
            message,
            help: Some(help.to_owned()),
        });
        None
    }
}

/// Says what is wrong with what is no token, and what to do about it.
fn lexical(error: &LexicalError) -> (String, String) {
    match error {
        LexicalError::TooLong => (
            "string too long".to_owned(),
            "a word has at most 8094 characters".to_owned(),
        ),
        LexicalError::Unclosed => (
            "reached end of file while parsing quoted string".to_owned(),
            "close the quotes that are opened here".to_owned(),
        ),
        LexicalError::NotUtf8 => ("string is not UTF-8".to_owned(), NOT_UTF8_HELP.to_owned()),
        LexicalError::Number { digits, reason } => (
            format!("\"{digits}\" invalid number: {reason}"),
            "a number has at most 18 digits".to_owned(),
        ),
    }
}

/// Says what to do about a character that a word cannot begin with or have in it.
fn help_for(character: char) -> Option<&'static str> {
    match character {
        '/' => Some("what has a slash in it, such as a URL, needs quotes"),
        '[' | ']' => Some("an IPv6 address is written without brackets"),
        '\r' => Some("the lines end as those of other systems do; remove the carriage returns"),
        BYTE_ORDER_MARK => Some("the file begins with a byte order mark; remove it"),
        ';' | '!' | '%' => Some("a comment begins with #"),
        '=' | '{' | '}' | '(' | ')' | '<' | '>' | ',' => Some("such a character needs quotes"),
        _ => None,
    }
}
