//! Servers: the time sources an operator asks for, as a plain name or with options.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Invalid;
use crate::invalid::{one_line, quoted};

/// One time source. It can always be written to a configuration file as one line: name and options are
/// checked when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    name: String,
    options: ServerOptions,
}

/// The options of a [`Server`]. Absent means the time daemon's own default, but for `iburst`, which is on
/// unless switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerOptions {
    /// The name stands for several servers (chrony's `pool`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub pool: bool,
    /// Start with a quick series of requests. True when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iburst: Option<bool>,
    /// Use Network Time Security (RFC 8915).
    #[serde(default, skip_serializing_if = "is_false")]
    pub nts: bool,
    /// Prefer this source over those without the option.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prefer: bool,
    /// Sources without this option must agree with those that have it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trust: bool,
    /// At least one source with this option must be usable.
    #[serde(default, skip_serializing_if = "is_false")]
    pub require: bool,
    /// Watch the source but never follow it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub noselect: bool,
    /// Ask in interleaved mode (RFC 9769).
    #[serde(default, skip_serializing_if = "is_false")]
    pub xleave: bool,
    /// Shortest polling interval, log2 seconds, -6 to 24.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -6, maximum = 24)]
    pub minpoll: Option<i8>,
    /// Longest polling interval, log2 seconds, -6 to 24, not below `minpoll`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -6, maximum = 24)]
    pub maxpoll: Option<i8>,
    /// How many servers of a pool to use, 1 to 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16)]
    pub maxsources: Option<u8>,
    /// UDP port, 1 to 65535.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65_535)]
    pub port: Option<u16>,
    /// NTP version in requests, 1 to 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4)]
    pub version: Option<u8>,
    /// Number of a symmetric key in the host's key file, 1 to 4294967295.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_294_967_295_i64)]
    pub key: Option<u32>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

const POLL_LOG2_S_MIN: i8 = -6;
const POLL_LOG2_S_MAX: i8 = 24;

impl Server {
    /// Longest server name in bytes, as for a DNS name.
    pub const NAME_BYTES_MAX: usize = 253;

    /// Makes a server from a host name or IP address and its options.
    ///
    /// # Errors
    /// [`Invalid`] when the name is neither, or an option is out of its range or contradicts another.
    pub fn new(name: &str, options: ServerOptions) -> Result<Self, Invalid> {
        check_name(name)?;
        options.check()?;
        Ok(Server {
            name: name.to_owned(),
            options,
        })
    }

    /// Host name or IP address, as the operator wrote it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The options.
    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// Says whether a quick series of requests is asked for at start.
    pub fn iburst(&self) -> bool {
        self.options.iburst.unwrap_or(true)
    }
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let refuse = |problem: String| {
        Err(Invalid::new(
            "",
            problem,
            "give a host name such as ntp.example.com, or an IP address",
        ))
    };
    if name.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if name.is_empty() {
        return refuse("the server name is empty".to_owned());
    }
    if name.len() > Server::NAME_BYTES_MAX {
        return refuse(format!(
            "server name {} is longer than {} bytes",
            quoted(name),
            Server::NAME_BYTES_MAX
        ));
    }
    let host = name.strip_suffix('.').unwrap_or(name);
    let well_formed = host.split('.').all(|part| {
        (1..=63).contains(&part.len())
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !part.starts_with('-')
            && !part.ends_with('-')
    });
    // Numbers that are no address as it is written here, such as 10.0.0.256 or 0x7f000001: a resolver finds nothing, or
    // something else than meant.
    let looks_like_address = host.split('.').all(is_number);
    if !well_formed || looks_like_address {
        return refuse(format!(
            "{} is neither a host name nor an IP address",
            quoted(name)
        ));
    }
    Ok(())
}

/// Whether inet_aton(3) reads a part of an address in it: a number, or a hexadecimal one after 0x.
fn is_number(part: &str) -> bool {
    let hexadecimal = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => part.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// Whether a host can have the address, so that a server can answer from it.
fn can_be_a_hosts(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

impl ServerOptions {
    fn check(&self) -> Result<(), Invalid> {
        let range = |field: &str, value: Option<i64>, min: i64, max: i64| match value {
            Some(value) if !(min..=max).contains(&value) => Err(Invalid::new(
                field,
                format!("{value} is out of range"),
                format!("give {min} to {max}"),
            )),
            _ => Ok(()),
        };
        let (low, high) = (i64::from(POLL_LOG2_S_MIN), i64::from(POLL_LOG2_S_MAX));
        range("minpoll", self.minpoll.map(i64::from), low, high)?;
        range("maxpoll", self.maxpoll.map(i64::from), low, high)?;
        range("maxsources", self.maxsources.map(i64::from), 1, 16)?;
        range("port", self.port.map(i64::from), 1, 65_535)?;
        range("version", self.version.map(i64::from), 1, 4)?;
        range("key", self.key.map(i64::from), 1, i64::from(u32::MAX))?;
        if let (Some(min), Some(max)) = (self.minpoll, self.maxpoll)
            && min > max
        {
            return Err(Invalid::new(
                "minpoll",
                format!("{min} is above maxpoll {max}"),
                "give a minpoll that is not above maxpoll",
            ));
        }
        if self.maxsources.is_some() && !self.pool {
            return Err(Invalid::new(
                "maxsources",
                "it says how much of a pool to use, and this is no pool",
                "set pool, or leave maxsources out",
            ));
        }
        if self.nts && self.key.is_some() {
            return Err(Invalid::new(
                "key",
                "a source is authenticated by nts or by a key, not by both",
                "leave one of them out",
            ));
        }
        if self.noselect && (self.prefer || self.trust || self.require) {
            return Err(Invalid::new(
                "noselect",
                "a source that is never followed cannot be preferred, trusted or required",
                "leave noselect out, or prefer, trust and require",
            ));
        }
        Ok(())
    }

    /// The options as words, in the order of chrony.conf(5): `nts`, `minpoll=4` and so on; empty for a plain
    /// server.
    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut flag = |on: bool, word: &str| {
            if on {
                words.push(word.to_owned());
            }
        };
        flag(self.pool, "pool");
        flag(self.iburst == Some(true), "iburst");
        flag(self.iburst == Some(false), "noiburst");
        flag(self.nts, "nts");
        flag(self.prefer, "prefer");
        flag(self.trust, "trust");
        flag(self.require, "require");
        flag(self.noselect, "noselect");
        flag(self.xleave, "xleave");
        let mut number = |value: Option<i64>, word: &str| {
            if let Some(value) = value {
                words.push(format!("{word}={value}"));
            }
        };
        number(self.minpoll.map(i64::from), "minpoll");
        number(self.maxpoll.map(i64::from), "maxpoll");
        number(self.maxsources.map(i64::from), "maxsources");
        number(self.port.map(i64::from), "port");
        number(self.version.map(i64::from), "version");
        number(self.key.map(i64::from), "key");
        words
    }
}

/// Writes the command line's form: `ntp.example.com`, or `ntp.example.com+nts+minpoll=4`.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for word in self.options.words() {
            write!(f, "+{word}")?;
        }
        Ok(())
    }
}

/// Reads the command line's form: the name, then options after plus signs.
impl FromStr for Server {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut words = text.split('+');
        let name = words.next().unwrap_or_default();
        let mut options = ServerOptions::default();
        for word in words {
            options.set(word)?;
        }
        Server::new(name, options)
    }
}

impl ServerOptions {
    fn set(&mut self, word: &str) -> Result<(), Invalid> {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        };
        match (key, value) {
            ("pool", None) => self.pool = true,
            ("iburst", None) => self.iburst = Some(true),
            ("noiburst", None) => self.iburst = Some(false),
            ("nts", None) => self.nts = true,
            ("prefer", None) => self.prefer = true,
            ("trust", None) => self.trust = true,
            ("require", None) => self.require = true,
            ("noselect", None) => self.noselect = true,
            ("xleave", None) => self.xleave = true,
            ("minpoll", Some(value)) => self.minpoll = Some(number(key, value)?),
            ("maxpoll", Some(value)) => self.maxpoll = Some(number(key, value)?),
            ("maxsources", Some(value)) => self.maxsources = Some(number(key, value)?),
            ("port", Some(value)) => self.port = Some(number(key, value)?),
            ("version", Some(value)) => self.version = Some(number(key, value)?),
            ("key", Some(value)) => self.key = Some(number(key, value)?),
            _ => {
                return Err(Invalid::new(
                    "",
                    format!("{} is not a server option", quoted(word)),
                    "use pool, noiburst, nts, prefer, trust, require, noselect, xleave, minpoll=N, \
                     maxpoll=N, maxsources=N, port=N, version=N or key=N",
                ));
            }
        }
        Ok(())
    }
}

fn number<T: FromStr>(field: &str, text: &str) -> Result<T, Invalid> {
    text.parse().map_err(|_| {
        Invalid::new(
            field,
            format!("{} is not a number in its range", quoted(text)),
            "give a whole number",
        )
    })
}

impl Serialize for Server {
    /// Writes a plain name as a string, and a server with options as an object.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Detailed<'a> {
            name: &'a str,
            #[serde(flatten)]
            options: &'a ServerOptions,
        }
        if self.options == ServerOptions::default() {
            serializer.serialize_str(&self.name)
        } else {
            Detailed {
                name: &self.name,
                options: &self.options,
            }
            .serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Server {
    /// Reads a string as a plain name, and an object as a name with options. A string is never split.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Server;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a server name, or an object with name and options")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Server, E> {
                Server::new(name, ServerOptions::default()).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Server, A::Error> {
                let mut name: Option<String> = None;
                let mut rest = serde_json::Map::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "name" {
                        name = Some(map.next_value()?);
                    } else {
                        rest.insert(key, map.next_value()?);
                    }
                }
                let name = name.ok_or_else(|| de::Error::missing_field("name"))?;
                let options: ServerOptions =
                    serde_path_to_error::deserialize(serde_json::Value::Object(rest))
                        .map_err(|error| de::Error::custom(describe(&error)))?;
                Server::new(&name, options).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

fn describe(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    one_line(&match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })
}

/// The servers of one request: at least one, at most [`Servers::COUNT_MAX`], no name twice, order kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Servers {
    servers: Vec<Server>,
}

impl Servers {
    /// How many servers one request can name.
    pub const COUNT_MAX: usize = 64;

    /// Makes a list.
    ///
    /// # Errors
    /// [`Invalid`] when it is empty, too long, names a server twice (names compare without case, addresses as IPv4 where
    /// they are IPv4-mapped), or names an address that no host has.
    pub fn new(servers: Vec<Server>) -> Result<Self, Invalid> {
        let field = "servers";
        if servers.is_empty() {
            return Err(Invalid::new(
                field,
                "the list is empty",
                "name at least one server; three or more are better",
            ));
        }
        if servers.len() > Self::COUNT_MAX {
            return Err(Invalid::new(
                field,
                format!("{} servers are too many", servers.len()),
                format!("name at most {}", Self::COUNT_MAX),
            ));
        }
        for (i, server) in servers.iter().enumerate() {
            if address(&server.name).is_some_and(|address| !can_be_a_hosts(address)) {
                return Err(Invalid::new(
                    format!("{field}[{i}]"),
                    format!("no host has the address {}", quoted(&server.name)),
                    "give the server's own address, or its name",
                ));
            }
            if servers
                .iter()
                .take(i)
                .any(|earlier| same_name(&earlier.name, &server.name))
            {
                return Err(Invalid::new(
                    format!("{field}[{i}]"),
                    format!("{} is named twice", quoted(&server.name)),
                    "name each server once",
                ));
            }
        }
        Ok(Servers { servers })
    }

    /// The servers in the operator's order.
    pub fn as_slice(&self) -> &[Server] {
        &self.servers
    }

    /// The names in the operator's order.
    pub fn names(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.name.clone()).collect()
    }

    /// Reads a request body `{"servers": [...]}`.
    ///
    /// # Errors
    /// [`Invalid`] naming the field, such as `servers[1].minpoll`.
    pub fn from_json(body: &serde_json::Value) -> Result<Self, Invalid> {
        let remedy = "send {\"servers\": [\"ntp1.example.com\", …]}";
        let Some(body) = body.as_object() else {
            return Err(Invalid::new("", "the body is not a JSON object", remedy));
        };
        let servers = match body.get("servers") {
            None | Some(serde_json::Value::Null) => {
                return Err(Invalid::new("servers", "the field is missing", remedy));
            }
            Some(serde_json::Value::Array(servers)) => servers,
            Some(_) => return Err(Invalid::new("servers", "it is not a list", remedy)),
        };
        // Before the elements are read, so that a huge list costs nothing.
        if servers.len() > Self::COUNT_MAX {
            return Err(Invalid::new(
                "servers",
                format!("{} servers are too many", servers.len()),
                format!("name at most {}", Self::COUNT_MAX),
            ));
        }
        let servers = servers
            .iter()
            .enumerate()
            .map(|(i, server)| {
                Server::deserialize(server).map_err(|error| {
                    let (problem, remedy) = match error.to_string().split_once("; ") {
                        Some((problem, remedy)) => (problem.to_owned(), remedy.to_owned()),
                        None => (
                            error.to_string(),
                            "see the API document for the options".to_owned(),
                        ),
                    };
                    Invalid::new(format!("servers[{i}]"), problem, remedy)
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Servers::new(servers)
    }
}

fn same_name(a: &str, b: &str) -> bool {
    let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    match (address(a), address(b)) {
        (Some(a), Some(b)) => a == b,
        _ => bare(a) == bare(b),
    }
}

/// The address that a name is, if it is one; an IPv4-mapped one is the IPv4 address.
fn address(name: &str) -> Option<IpAddr> {
    name.parse().ok().map(|address: IpAddr| address.to_canonical())
}

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(deserialize_with = "bounded")]
            servers: Vec<Server>,
        }

        fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Server>, D::Error> {
            struct List;
            impl<'de> Visitor<'de> for List {
                type Value = Vec<Server>;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a list of servers")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Server>, A::Error> {
                    let mut servers = Vec::new();
                    while let Some(server) = seq.next_element()? {
                        servers.push(server);
                        if servers.len() > Servers::COUNT_MAX {
                            break;
                        }
                    }
                    Ok(servers)
                }
            }
            deserializer.deserialize_seq(List)
        }

        Servers::new(Body::deserialize(deserializer)?.servers).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "json! makes values")]
    fn error(body: serde_json::Value) -> String {
        Servers::from_json(&body).unwrap_err().to_string()
    }

    #[test]
    fn plain_names_stay_strings() {
        let body = json!({"servers": ["0.pool.ntp.org", "192.0.2.1", "2001:db8::1", "ntp.example.com."]});
        let servers = Servers::from_json(&body).unwrap();
        assert_eq!(serde_json::to_value(&servers).unwrap(), body);
        assert!(servers.as_slice().iter().all(Server::iburst));
    }

    #[test]
    fn options_are_fields() {
        let body = json!({"servers": [
            {"name": "time.example.com", "nts": true, "minpoll": 4, "maxpoll": 6},
            {"name": "pool.example.com", "pool": true, "iburst": false},
        ]});
        let servers = Servers::from_json(&body).unwrap();
        assert_eq!(serde_json::to_value(&servers).unwrap(), body);
        assert_eq!(
            servers.as_slice()[0].to_string(),
            "time.example.com+nts+minpoll=4+maxpoll=6"
        );
        assert_eq!(
            servers.as_slice()[1].to_string(),
            "pool.example.com+pool+noiburst"
        );
    }

    #[test]
    fn an_unknown_option_adds_no_line_to_an_error() {
        let error = error(json!({"servers": [{"name": "a", "b\nc": 4}]}));
        assert!(error.contains("unknown field `b?c`"), "{error}");
    }

    #[test]
    fn errors_name_field_and_remedy() {
        assert_eq!(
            error(json!({"servers": []})),
            "servers: the list is empty; name at least one server; three or more are better"
        );
        assert_eq!(
            error(json!({"servers": ["a", "b iburst"]})),
            "servers[1]: \"b iburst\" is neither a host name nor an IP address; \
             give a host name such as ntp.example.com, or an IP address"
        );
        assert_eq!(
            error(json!({"servers": [{"name": "a", "minpoll": 99}]})),
            "servers[0]: minpoll: 99 is out of range; give -6 to 24"
        );
        assert!(error(json!({"servers": [{"name": "a", "colour": 1}]})).contains("colour"));
        assert!(error(json!({"servers": [{"nts": true}]})).contains("name"));
        assert!(error(json!({"servers": ["a", "A."]})).contains("twice"));
        assert!(error(json!({"servers": [7]})).starts_with("servers[0]: "));
        assert!(error(json!({})).contains("missing"));
        assert!(error(json!([])).contains("object"));
        assert!(error(json!({"servers": vec!["a"; 100_000]})).contains("too many"));
    }

    #[test]
    fn addresses_that_no_host_has_and_one_address_twice_are_refused() {
        for address in [
            "0.0.0.0",
            "::",
            "::ffff:0.0.0.0",
            "255.255.255.255",
            "224.0.1.1",
            "ff05::101",
        ] {
            assert_eq!(
                error(json!({"servers": ["a", address]})),
                format!(
                    "servers[1]: no host has the address \"{address}\"; give the server's own address, or its name"
                )
            );
        }
        for pair in [
            ["127.0.0.1", "::ffff:127.0.0.1"],
            ["2001:db8::1", "2001:DB8:0::1"],
        ] {
            assert!(
                error(json!({"servers": pair})).contains("is named twice"),
                "{pair:?}"
            );
        }
        for fine in ["127.0.0.1", "::1", "169.254.169.123", "fd00:ec2::123"] {
            assert!(Servers::from_json(&json!({"servers": [fine]})).is_ok(), "{fine}");
        }
    }

    #[test]
    fn a_name_can_never_add_a_line_or_an_option() {
        for bad in [
            "",
            "a b",
            "a\nserver b",
            "a\tb",
            "a#b",
            "!a",
            "a\u{0}",
            "ä.example",
            "10.0.0.256",
            "0x7f000001",
            "0X7F.0.0.0x1",
            "2130706433",
            "-a",
            "a..b",
            "a/b",
            &"x".repeat(254),
            &"x".repeat(10_000),
        ] {
            assert!(Server::new(bad, ServerOptions::default()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_a_single_word(text in "\\PC*|[ -~]{0,40}|(?s).{0,40}") {
            if let Ok(server) = Server::new(&text, ServerOptions::default()) {
                prop_assert!(server.name().bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'!'));
            }
        }

        #[test]
        fn the_command_line_form_round_trips(
            name in "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}", nts: bool, pool: bool, minpoll in proptest::option::of(-6i8..=10),
            iburst: Option<bool>, port in proptest::option::of(1u16..),
        ) {
            let options = ServerOptions { nts, pool, minpoll, iburst, port, ..ServerOptions::default() };
            let server = Server::new(&name, options).unwrap();
            let json = serde_json::to_value(&server).unwrap();
            prop_assert_eq!(&serde_json::from_value::<Server>(json).unwrap(), &server);
            prop_assert_eq!(server.to_string().parse::<Server>().unwrap(), server);
        }
    }
}
