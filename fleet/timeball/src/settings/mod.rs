//! Settings: what `timeball.yaml` and the environment say; flags win over both.
//!
//! A value is found by its key out of [`table`], with the place it comes from, so that an error about it can
//! name that place. What a value means is decided where it is used.

pub(crate) mod manual;
pub(crate) mod table;

#[cfg(test)]
mod document;
mod file;
mod found;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::permission::Permission;
use model::{Label, Labels};

use crate::ending::Failure;
use crate::settings::file::{Entry, Value};
use crate::settings::table::{AGENT_LABELS, FOREIGN, Form, KEYS, Key, ROLE_PERMISSIONS};
use crate::{paths, text};

pub(crate) use found::{Found, Origin, duration, truth};

/// The environment as the program found it.
type Environment = fn(&str) -> Option<String>;

/// What the settings file and the environment say.
pub(crate) struct Settings {
    file: Option<PathBuf>,
    /// The file's entries by the key they belong to, with the names that stand for `<name>`.
    entries: Vec<(&'static Key, Option<String>, Entry)>,
    environment: Environment,
    passed_over: Vec<PathBuf>,
}

impl Settings {
    /// Reads the settings: from `file`, else the file that `TIMEBALL_CONFIG` names, else the user's, else the
    /// system's, else none.
    ///
    /// # Errors
    /// [`Failure::Refused`] naming file and line, or the file that was named and cannot be read.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Failure> {
        let environment: Environment = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let named = file
            .map(|file| (file.to_owned(), "--config"))
            .or_else(|| environment("TIMEBALL_CONFIG").map(|file| (file.into(), "TIMEBALL_CONFIG")));
        if let Some((file, by)) = named {
            let yaml = read(&file).map_err(|error| {
                Failure::new(format!(
                    "{by} {}: {error}; name a file that you can read",
                    file.display()
                ))
            })?;
            return Settings::parse(Some(file), &yaml, environment);
        }
        let mut passed_over = Vec::new();
        for file in paths::settings_files() {
            match read(&file) {
                Ok(yaml) => {
                    let settings = Settings::parse(Some(file), &yaml, environment)?;
                    return Ok(Settings {
                        passed_over,
                        ..settings
                    });
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
                    // The system's file may be root's own.
                    io::ErrorKind::PermissionDenied => passed_over.push(file),
                    _ => return Err(Failure::new(format!("{}: {error}", file.display()))),
                },
            }
        }
        let settings = Settings::parse(None, "", environment)?;
        Ok(Settings {
            passed_over,
            ..settings
        })
    }

    /// Files that are there and may not be read.
    pub(crate) fn passed_over(&self) -> &[PathBuf] {
        &self.passed_over
    }

    fn parse(file: Option<PathBuf>, yaml: &str, environment: Environment) -> Result<Self, Failure> {
        let place = |line: u64| {
            let name = file.as_deref().unwrap_or(Path::new("settings")).display();
            if line == 0 {
                name.to_string()
            } else {
                format!("{name}:{line}")
            }
        };
        let mut entries = Vec::new();
        for entry in file::entries(yaml).map_err(|misread| {
            Failure::new(format!(
                "{}: {}",
                place(misread.line),
                text::line(&misread.problem)
            ))
        })? {
            let (key, name) = key_of(&entry.path)
                .ok_or_else(|| Failure::new(format!("{}: {}", place(entry.line), unknown(&entry.path))))?;
            let fits = match (&entry.value, key.form) {
                (Value::List(_), Form::List) => true,
                (Value::Text(_), form) => form != Form::List,
                (Value::List(_), _) => false,
            };
            if !fits {
                let wanted = if key.form == Form::List {
                    "a list, such as [a, b]"
                } else {
                    "one value"
                };
                let problem = format!("{}: {wanted} is needed", entry.path.join("."));
                return Err(Failure::new(format!("{}: {problem}", place(entry.line))));
            }
            if key.form == Form::Secret
                && let Some(file) = &file
                && fs::metadata(file).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
            {
                return Err(Failure::new(format!(
                    "{}: {} is a secret and others can read the file; run `chmod 600 {}`",
                    place(entry.line),
                    entry.path.join("."),
                    file.display()
                )));
            }
            entries.push((key, name, entry));
        }
        Ok(Settings {
            file,
            entries,
            environment,
            passed_over: Vec::new(),
        })
    }

    /// The value of a setting: the environment's, else the file's.
    pub(crate) fn find(&self, path: &'static str) -> Option<Found> {
        let key = KEYS.iter().find(|key| key.path == path)?;
        if let Some(name) = key.env
            && let Some(text) = (self.environment)(name)
        {
            return Some(Found::new(text, Origin::Environment(name)));
        }
        let (_, _, entry) = self
            .entries
            .iter()
            .rev()
            .find(|(found, _, _)| found.path == path)?;
        let Value::Text(text) = &entry.value else {
            return None;
        };
        let text = match (key.form, self.file.as_deref().and_then(Path::parent)) {
            (Form::Path, Some(directory)) => directory.join(text).display().to_string(),
            _ => text.clone(),
        };
        Some(Found::new(text, self.origin(entry)))
    }

    /// The texts of a setting that is a list, which only the file can give.
    pub(crate) fn list(&self, path: &'static str) -> Option<Vec<String>> {
        let (_, _, entry) = self
            .entries
            .iter()
            .rev()
            .find(|(found, _, _)| found.path == path)?;
        match &entry.value {
            Value::List(list) => Some(list.clone()),
            Value::Text(_) => None,
        }
    }

    /// The labels of this host.
    ///
    /// # Errors
    /// [`Failure::Refused`] naming a label that is none.
    pub(crate) fn labels(&self) -> Result<Vec<Label>, Failure> {
        let variable = KEYS
            .iter()
            .find(|key| key.path == AGENT_LABELS)
            .and_then(|key| key.env);
        if let Some(name) = variable
            && let Some(list) = (self.environment)(name)
        {
            let found = |text: &str| Found::new(text.to_owned(), Origin::Environment(name));
            return list
                .split(',')
                .map(|label| found(label.trim()).read(str::parse))
                .collect();
        }
        let labels: Vec<Label> = self
            .named(AGENT_LABELS)
            .map(|(name, entry)| {
                let Value::Text(value) = &entry.value else {
                    return Err(Failure::new("a label has one value"));
                };
                Found::new(format!("{name}:{value}"), self.origin(entry)).read(str::parse)
            })
            .collect::<Result<_, _>>()?;
        let map: BTreeMap<String, String> = labels
            .iter()
            .map(|label| (label.key().to_owned(), label.value().to_owned()))
            .collect();
        Labels::try_from(map).map_err(|invalid| Failure::new(format!("agent.labels: {invalid}")))?;
        Ok(labels)
    }

    /// The organisation's own roles.
    ///
    /// # Errors
    /// [`Failure::Refused`] naming a permission that does not exist.
    pub(crate) fn roles(&self) -> Result<BTreeMap<String, BTreeSet<Permission>>, Failure> {
        self.named(ROLE_PERMISSIONS)
            .map(|(name, entry)| {
                let Value::List(list) = &entry.value else {
                    return Ok((name.to_owned(), BTreeSet::new()));
                };
                let permissions = list
                    .iter()
                    .map(|text| Found::new(text.clone(), self.origin(entry)).read(str::parse))
                    .collect::<Result<_, _>>()?;
                Ok((name.to_owned(), permissions))
            })
            .collect()
    }

    fn named(&self, path: &'static str) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .filter(move |(key, _, _)| key.path == path)
            .filter_map(|(_, name, entry)| name.as_deref().map(|name| (name, entry)))
    }

    fn origin(&self, entry: &Entry) -> Origin {
        Origin::File {
            file: self.file.clone().unwrap_or_default(),
            line: entry.line,
            key: entry.path.join("."),
        }
    }
}

/// Reads a file of bounded size.
fn read(file: &Path) -> io::Result<String> {
    let bytes = fs::metadata(file)?.len();
    if bytes > file::BYTES_MAX as u64 {
        return Err(io::Error::other(format!("{bytes} bytes are too many")));
    }
    fs::read_to_string(file)
}

/// The key that a path in the file belongs to, and the name in it that the operator chose.
fn key_of(path: &[String]) -> Option<(&'static Key, Option<String>)> {
    let matches = |pattern: &str| {
        let mut name = None;
        let segments: Vec<&str> = pattern.split('.').collect();
        let fits = segments.len() == path.len()
            && segments.iter().zip(path).all(|(segment, actual)| {
                if *segment == "<name>" {
                    name = Some(actual.clone());
                    true
                } else {
                    segment == actual
                }
            });
        fits.then_some(name)
    };
    KEYS.iter().find_map(|key| {
        matches(key.path)
            .or_else(|| key.alias.and_then(matches))
            .map(|name| (key, name))
    })
}

/// What to say about a path that no key has.
fn unknown(path: &[String]) -> String {
    let written = text::line(&path.join("."));
    let foreign = FOREIGN
        .iter()
        .find(|(known, _)| written == *known || written.starts_with(&format!("{known}.")));
    if let Some((_, remedy)) = foreign {
        return format!("{written} means nothing here: {remedy}");
    }
    let known = KEYS.iter().flat_map(|key| [Some(key.path), key.alias]).flatten();
    match text::nearest(&written, known) {
        Some(nearest) => format!("unknown setting {written}; did you mean {nearest}?"),
        None => format!("unknown setting {written}; docs/settings.md lists them all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Environment = |_| None;

    fn settings(yaml: &str) -> Result<Settings, Failure> {
        Settings::parse(Some("/etc/timeball/timeball.yaml".into()), yaml, NOTHING)
    }

    fn refusal(yaml: &str) -> String {
        settings(yaml).err().unwrap().to_string()
    }

    #[test]
    fn keys_and_their_aliases_are_found_with_their_place() {
        let settings = settings(
            "controller:\n  client:\n    url: http://a:1\n  api:\n    job_timeout: 10s\nclient:\n  ca: ca.pem\n",
        )
        .unwrap();
        let url = settings.find(table::CLIENT_URL).unwrap();
        assert_eq!(url.text(), "http://a:1");
        assert_eq!(
            url.origin().to_string(),
            "controller.client.url in /etc/timeball/timeball.yaml:3"
        );
        assert_eq!(
            settings.find(table::CLIENT_CA).unwrap().text(),
            "/etc/timeball/ca.pem"
        );
        assert!(settings.find(table::HEARTBEAT).is_none());
    }

    #[test]
    fn the_environment_wins() {
        let environment: Environment = |name| match name {
            "TIMEBALL_URL" => Some("http://b:2".to_owned()),
            "TIMEBALL_AGENT_LABELS" => Some("group:web, rack:a1".to_owned()),
            _ => None,
        };
        let yaml = "client: {url: 'http://a:1'}\nagent: {labels: {group: db}}\n";
        let settings = Settings::parse(None, yaml, environment).unwrap();
        assert_eq!(settings.find(table::CLIENT_URL).unwrap().text(), "http://b:2");
        let labels: Vec<String> = settings
            .labels()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(labels, ["group:web", "rack:a1"]);
    }

    #[test]
    fn roles_and_labels_are_open_maps() {
        let settings = settings(
            "agent:\n  labels:\n    group: web.eu\n    rack: 1\ncontroller:\n  api:\n    security:\n      roles:\n        \
             ops:\n          permissions: [ntp:read, \"ntp:write\"]\n",
        )
        .unwrap();
        let labels: Vec<String> = settings
            .labels()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(labels, ["group:web.eu", "rack:1"]);
        let roles = settings.roles().unwrap();
        assert_eq!(
            roles["ops"],
            BTreeSet::from([Permission::NTP_READ, Permission::NTP_WRITE])
        );
    }

    #[test]
    fn unknown_keys_name_their_line_and_the_nearest_key() {
        assert_eq!(
            refusal("controller:\n  api:\n    job_timout: 3s\n"),
            "/etc/timeball/timeball.yaml:3: unknown setting controller.api.job_timout; \
             did you mean controller.api.job_timeout?"
        );
        assert!(refusal("colour: blue\n").ends_with("docs/settings.md lists them all"));
        assert!(refusal("controller: {nats: {port: 4222}}\n").contains("agents dial the controller itself"));
        assert!(refusal("client: {url: [a]}\n").contains("one value is needed"));
    }
}
