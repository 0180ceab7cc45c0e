//! ntp.conf, read: what the daemon is asked to do, what is wrong, and what each line becomes.

mod interface;
mod restrict;
mod single;
mod source;
mod statement;
mod statistics;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::directives::{DIRECTIVES, Directive, Support};
use super::lexer::{Word, words};
use crate::config::{Config, MakeStep, MaxChange, RateLimit, SourceName, Subnet};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Span};
use crate::dialect::Reading;
use crate::explain::{Explanation, Fate};
use crate::include::{
    BYTE_ORDER_MARK, FILE_LENGTH_MAX, FILES_MAX, NOT_UTF8_HELP, ReadError, Reader, TOTAL_LENGTH_MAX, search,
};
use crate::words::near;
use restrict::Rules;
use source::{Fudge, NamedClock, Place};
use statement::{IdleWords, Line, Refused, Statement};

pub(super) use single::{BYTES_PER_CLIENT, LOG_CLASSES, LOG_TYPES};
pub(super) use source::{clock_address, shared_memory_permissions};

/// The deepest nesting of files, the first one included (ntp.conf, `includefile`).
const DEPTH_MAX: usize = 5;

/// The largest number of lines that begin with an unknown word, and of others that are refused, of which it is told what
/// becomes of them. It is more than those by which languages are told apart.
const REFUSED_LINES_MAX: usize = Diagnostics::KEPT_MAX;

/// How often a client is answered under `limited`: 20 packets at once and then one each second (ntp.conf, `limit`).
/// One of 16 requests above that is answered all the same, and one of 4 gets a kiss.
pub(super) const RATE_LIMIT: RateLimit = RateLimit {
    interval: 0,
    burst: 20,
    leak: 4,
    kod: 2,
};

/// The offset at which ntpd gives up (ntp.conf, `tinker panic`), seconds.
const PANIC_S: f64 = 1000.0;

/// The offset from which on ntpd steps (ntp.conf, `tinker step`), seconds.
const STEP_S: f64 = 0.128;

/// The root distance of a selectable source (ntp.conf, `tos maxdist`), seconds.
const MAX_DISTANCE_S: f64 = 1.5;

/// The number of associations that pools fill up to (ntp.conf, `tos maxclock`).
const MAX_CLOCK: u32 = 10;

/// How long an orphan waits (ntp.conf, `tos orphanwait`), seconds.
const ORPHAN_WAIT_S: f64 = 300.0;

/// The DSCP of packets (ntp.conf, `dscp`): expedited forwarding.
const DSCP: u8 = 46;

/// Marks of templates that nobody has filled in.
const TEMPLATE_MARKS: [(&str, &str); 3] = [("${", "}"), ("{{", "}}"), ("<%", "%>")];

/// Reads the configuration at `path` with all its files.
///
/// Never fails. With a [`Severity::Error`] among the diagnostics the daemon must not start; what is only
/// [`Severity::Skipped`] has no effect, as with ntpd.
pub fn parse(path: &str, reader: &dyn Reader) -> (Config, Vec<Diagnostic>) {
    let reading = explain(path, reader);
    (reading.config, reading.diagnostics)
}

/// Reads the configuration at `path` as [`parse()`] does, and tells what becomes of each line. The first explanation, which
/// has no line, is about what ntpd does without being told.
pub fn explain(path: &str, reader: &dyn Reader) -> Reading {
    explain_with(path, &[], reader)
}

/// Reads the configuration at `path` as [`explain`] does, and then `further` files as if their lines stood at its end.
/// What is on the command line of ntpd, and the files of its directory, come in this way.
pub fn explain_with(path: &str, further: &[String], reader: &dyn Reader) -> Reading {
    let mut parser = Parser::new(path);
    let mut files = Files {
        reader,
        read: 0,
        length_left: TOTAL_LENGTH_MAX,
        is_ended: false,
    };
    for path in std::iter::once(path).chain(further.iter().map(String::as_str)) {
        files.is_ended = false;
        match files.read(path) {
            Ok(text) => parser.file(path, &text, 1, &mut files),
            Err(message) => {
                let span = Span::of_file(path.into());
                parser
                    .diagnostics
                    .push(Diagnostic::of_file(Severity::Error, span, message));
            }
        }
    }
    parser.finish()
}

/// What has been read so far.
struct Parser {
    config: Config,
    diagnostics: Diagnostics,
    lines: Vec<Explanation>,
    /// How many lines begin with an unknown word.
    unknown_lines: usize,
    /// How many others are refused.
    refused_lines: usize,
    idle: IdleWords,
    rules: Rules,
    /// Rules with `kod` but without `limited`: their subnet and port, and where they are.
    kods: Vec<(Option<Subnet>, bool, Place)>,
    clocks: Vec<NamedClock>,
    fudges: BTreeMap<(u8, u8), Fudge>,
    /// The names of the sources of the configuration, to find those that are there already.
    source_names: BTreeSet<SourceName>,
    /// The sources that are taken away, as they are written, wherever they are named.
    unpeered: Vec<(String, Place)>,
    /// Where the sources of the configuration are, in their order.
    source_places: Vec<Place>,
    max_clock: u32,
    orphan_wait_s: f64,
    /// Where clients are not to be remembered.
    unmonitored: Option<Place>,
    is_keeping_statistics: bool,
    /// Where the key of control packets is named.
    control_key_place: Option<Place>,
}

/// The files of a configuration.
struct Files<'a> {
    reader: &'a dyn Reader,
    read: usize,
    length_left: usize,
    /// Whether `end` was read, which ends all files.
    is_ended: bool,
}

impl Files<'_> {
    /// Returns the text of a file, or why it is not read.
    fn read(&mut self, path: &str) -> Result<String, String> {
        if self.read >= FILES_MAX {
            return Err(format!(
                "{path} is not read: there are more than {FILES_MAX} files"
            ));
        }
        match self.reader.read_file(path) {
            Ok(text) if text.len() > FILE_LENGTH_MAX.min(self.length_left) => {
                let most = FILE_LENGTH_MAX.min(self.length_left);
                Err(format!("{path} is not read: it has more than {most} bytes"))
            }
            Ok(text) => {
                self.read += 1;
                self.length_left -= text.len();
                Ok(text)
            }
            Err(error) => Err(format!("Could not open {path} : {error}")),
        }
    }
}

impl Parser {
    fn new(path: &str) -> Self {
        let mut config = Config::default();
        config.clock.make_step = Some(MakeStep::both(STEP_S, None));
        config.clock.max_change = Some(MaxChange {
            offset_s: PANIC_S,
            start: 0,
            ignore: Some(0),
        });
        config.selection.max_distance_s = MAX_DISTANCE_S;
        config.rtc.kernel_sync = true;
        config.client.dscp = DSCP;
        config.trusted_keys = Some(Vec::new());
        config.server.rate_limit = Some(RATE_LIMIT);
        let unsaid = Explanation {
            span: Span::of_file(path.into()),
            text: String::new(),
            fate: Fate::Used,
            chrony: vec![
                "allow".to_owned(),
                rate_limit_line(&RATE_LIMIT),
                format!("makestep {STEP_S} -1"),
                format!("maxchange {PANIC_S} 0 0"),
                format!("maxdistance {MAX_DISTANCE_S}"),
                "rtcsync".to_owned(),
                format!("dscp {DSCP}"),
            ],
            left_out: Vec::new(),
            note: Some("what ntpd does without being told".to_owned()),
        };
        Self {
            config,
            diagnostics: Diagnostics::default(),
            lines: vec![unsaid],
            unknown_lines: 0,
            refused_lines: 0,
            idle: IdleWords::default(),
            rules: Rules::default(),
            kods: Vec::new(),
            clocks: Vec::new(),
            fudges: BTreeMap::new(),
            source_names: BTreeSet::new(),
            unpeered: Vec::new(),
            source_places: Vec::new(),
            max_clock: MAX_CLOCK,
            orphan_wait_s: ORPHAN_WAIT_S,
            unmonitored: None,
            is_keeping_statistics: true,
            control_key_place: None,
        }
    }

    /// Reads the lines of a file, all of them however much is wrong: the last can be those that say who may do what.
    fn file(&mut self, path: &str, text: &str, depth: usize, files: &mut Files<'_>) {
        let file: Arc<str> = path.into();
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        for (number, text) in (1..).zip(text.split('\n')) {
            let words = words(text);
            if words.is_empty() {
                continue;
            }
            if files.is_ended {
                return;
            }
            let line = Line {
                file: &file,
                number,
                text,
                words: &words,
            };
            self.line(&line, depth, files);
        }
    }

    /// Reads one line, and the files that it names.
    fn line(&mut self, line: &Line<'_>, depth: usize, files: &mut Files<'_>) {
        let mut span = line.span(0);
        let text = line.text.trim();
        span.width = u32::try_from(text.chars().count().max(1)).unwrap_or(u32::MAX);
        let word = line.words.first().map_or("", |word| word.text.as_str());
        let Some(directive) = Directive::find(word) else {
            let known = DIRECTIVES.iter().map(|directive| directive.name);
            let message = format!("unknown directive \"{word}\" ignored");
            // What is not shown needs no help, which takes its time to find.
            let is_shown = !self.diagnostics.is_full(Severity::Warning);
            let meant = is_shown.then(|| near(word, &known.collect::<Vec<_>>())).flatten();
            let help = meant.map(|meant| format!("did you mean {meant}?"));
            let help = help.unwrap_or_default();
            let make = || line.diagnostic(Severity::Warning, 0, message, &help);
            self.diagnostics.push_with(Severity::Warning, make);
            self.unknown_lines += 1;
            if self.unknown_lines <= REFUSED_LINES_MAX {
                self.lines.push(Explanation {
                    span,
                    text: text.to_owned(),
                    fate: Fate::Refused,
                    chrony: Vec::new(),
                    left_out: Vec::new(),
                    note: Some(format!("unknown directive \"{word}\"")),
                });
            }
            return;
        };
        let mut diagnostics = std::mem::take(&mut self.diagnostics);
        let mut idle = std::mem::take(&mut self.idle);
        let idle_before = idle.count();
        let mut statement = Statement {
            line,
            directive,
            diagnostics: &mut diagnostics,
            idle: &mut idle,
            fate: Fate::Used,
            chrony: Vec::new(),
            left_out: Vec::new(),
            note: None,
        };
        let read = check_encoding(&mut statement)
            .and_then(|()| check_templates(&mut statement))
            .inspect_err(|_| restrict::fail_closed(directive.name, None, &mut self.rules))
            .and_then(|()| self.directive(&mut statement));
        let Statement {
            mut fate,
            mut chrony,
            left_out,
            mut note,
            ..
        } = statement;
        if idle.count() > idle_before && note.is_none() {
            note = Some("some of its words have no effect".to_owned());
        }
        match (read, directive.support) {
            (Err(Refused), _) => {
                fate = Fate::Refused;
                // What is good on such a line counts all the same with tinker, tos and enable.
                if !matches!(directive.name, "tinker" | "tos" | "enable" | "disable") {
                    chrony.clear();
                }
            }
            (Ok(()), Support::Idle | Support::LeftOut(_)) => fate = Fate::Ignored,
            (Ok(()), Support::Read) => {}
        }
        if line.words.iter().any(Word::has_blanks) && !chrony.is_empty() {
            chrony.clear();
            fate = fate.max(Fate::Adapted);
            note = Some("chrony cannot write words with blanks in them".to_owned());
        }
        self.diagnostics = diagnostics;
        self.idle = idle;
        self.refused_lines += usize::from(fate == Fate::Refused);
        // No `Place` is that of a line that is refused, so that one can be left out. What is good on it is told.
        if fate != Fate::Refused || !chrony.is_empty() || self.refused_lines <= REFUSED_LINES_MAX {
            self.lines.push(Explanation {
                span,
                text: text.to_owned(),
                fate,
                chrony,
                left_out,
                note,
            });
        }
        match directive.name {
            "includefile" if fate != Fate::Refused => self.include(line, depth, files),
            "end" => files.is_ended = true,
            _ => {}
        }
    }

    /// Reads one directive.
    fn directive(&mut self, statement: &mut Statement<'_>) -> Result<(), Refused> {
        let name = statement.directive.name;
        match statement.directive.support {
            Support::Idle => {
                statement.idle(0);
                return Ok(());
            }
            Support::LeftOut(why) => {
                let words = 0..statement.len();
                statement.leave_out(words, format!("{name} directive is not supported"), why);
                return Ok(());
            }
            Support::Read => {}
        }
        match name {
            "server" | "pool" | "peer" => source::read(statement, self),
            "refclock" => source::refclock(statement, self),
            "fudge" => source::fudge(statement, self),
            "unpeer" | "unconfig" => source::unpeer(statement, self),
            "restrict" | "unrestrict" => restrict::read(statement, self),
            "limit" | "discard" => restrict::limit(statement, self),
            "interface" | "nic" => interface::read(statement, self),
            "includefile" => {
                statement.only_word("file")?;
                statement.adapt("the lines of the files it names follow");
                Ok(())
            }
            "end" => Ok(()),
            _ => single::read(statement, self),
        }
    }

    /// Reads the files that a line names.
    fn include(&mut self, line: &Line<'_>, depth: usize, files: &mut Files<'_>) {
        let named = line.words.get(1).map_or("", |word| word.text.as_str());
        let path = match line.file.rsplit_once('/') {
            Some((directory, _)) if !named.starts_with('/') => format!("{directory}/{named}"),
            _ => named.to_owned(),
        };
        let refuse = |parser: &mut Self, message: String, help: &str| {
            parser
                .diagnostics
                .push(line.diagnostic(Severity::Error, 1, message, help));
            if let Some(explanation) = parser.lines.last_mut() {
                explanation.fate = Fate::Refused;
            }
        };
        if depth >= DEPTH_MAX {
            let help = format!("files are nested at most {DEPTH_MAX} deep");
            return refuse(self, format!("{path} is not read"), &help);
        }
        let is_directory = matches!(files.reader.read_file(&path), Err(ReadError::IsDirectory));
        let paths = if is_directory {
            search(&[&path], ".conf", files.reader)
        } else {
            vec![path]
        };
        for path in paths {
            match files.read(&path) {
                Ok(text) => self.file(&path, &text, depth + 1, files),
                Err(message) => {
                    refuse(
                        self,
                        message,
                        "ntpd goes on without; there may be rules in it on who may do what",
                    );
                }
            }
        }
    }

    /// Says that a line cannot be taken after all.
    fn refuse_later(&mut self, place: Place, message: String, help: &str) {
        if let Some(line) = self.lines.get_mut(place.line) {
            line.fate = Fate::Refused;
            line.chrony.clear();
            line.note = Some(message.clone());
        }
        self.diagnostics.push(Diagnostic {
            message,
            help: Some(help.to_owned()),
            ..place.diagnostic
        });
    }

    /// Says that a line does not do what it says after all.
    fn warn_later(&mut self, place: Place, message: String, help: &str) {
        if let Some(line) = self.lines.get_mut(place.line) {
            line.fate = line.fate.max(Fate::Adapted);
            line.note = Some(message.clone());
        }
        self.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            message,
            help: Some(help.to_owned()),
            ..place.diagnostic
        });
    }

    /// Adds what only the whole configuration can tell.
    fn finish(mut self) -> Reading {
        source::take_away(&mut self);
        source::make_clocks(&mut self);
        self.check_keys();
        let places = std::mem::take(&mut self.source_places);
        single::distribute(&mut self, &places);
        let rules = std::mem::take(&mut self.rules);
        let restrictions = rules.finish(&mut self.diagnostics, &mut self.lines);
        restrict::check_kods(&mut self, &restrictions);
        let is_limited = restrictions.rules.iter().any(|rule| rule.flags.limited);
        single::monitor(&mut self, is_limited);
        statistics::finish(&mut self);
        self.config.server.restrictions = Some(restrictions);
        let config = &self.config;
        let has_sources = !config.sources.is_empty() || !config.ref_clocks.is_empty();
        if !has_sources && config.local.is_none() {
            let file = self.lines.first().map(|line| line.span.clone());
            if let Some(span) = file {
                let message = "there is no source of time, so the clock stays as it is".to_owned();
                self.diagnostics.push(Diagnostic {
                    help: Some("add server or pool lines".to_owned()),
                    ..Diagnostic::of_file(Severity::Warning, span, message)
                });
            }
        }
        let idle = std::mem::take(&mut self.idle);
        if let Some(notice) = idle.into_diagnostic() {
            self.diagnostics.push(notice);
        }
        // By line; the sort keeps the order of what is about one line, and that of files.
        let mut order: BTreeMap<&str, usize> = BTreeMap::new();
        for line in &self.lines {
            let next = order.len();
            order.entry(&line.span.file).or_insert(next);
        }
        self.diagnostics
            .sort_by_key(|found| (order.get(&*found.span.file).copied(), found.span.line));
        Reading {
            config: self.config,
            diagnostics: self.diagnostics.into_vec(),
            lines: self.lines,
        }
    }

    /// Removes sources with keys that cannot be used: without one anybody could pass for them. A key for control packets
    /// that cannot be used is none.
    fn check_keys(&mut self) {
        let trusted = Trusted::new(self.config.trusted_keys.as_deref().unwrap_or_default());
        let has_file = self.config.key_file.is_some();
        let is_usable = |id: &u32| has_file && trusted.contains(*id);
        let control_key = self.config.control_key;
        self.config.control_key = control_key.filter(is_usable);
        if let (Some(id), None, Some(place)) = (
            control_key,
            self.config.control_key,
            self.control_key_place.take(),
        ) {
            let message = format!("key {id} cannot be that of control packets");
            let help =
                "name the file with keys and its numbers with trustedkey; nobody gets more than others now";
            self.warn_later(place, message, help);
        }
        let sources = std::mem::take(&mut self.config.sources);
        let places = std::mem::take(&mut self.source_places);
        for (source, place) in sources.into_iter().zip(places) {
            let unusable = match source.key_id {
                Some(id) if !has_file => Some(format!("there is no keys file for key {id}")),
                Some(id) if !trusted.contains(id) => Some(format!("key {id} is not trusted")),
                _ => None,
            };
            match unusable {
                Some(message) => {
                    let help = "name the file with keys and its numbers with trustedkey; ntpd does not take the source";
                    self.refuse_later(place, message, help);
                }
                None => {
                    self.config.sources.push(source);
                    self.source_places.push(place);
                }
            }
        }
    }
}

/// Ranges of keys, to find one.
struct Trusted(Vec<(u32, u32)>);

impl Trusted {
    fn new(ranges: &[RangeInclusive<u32>]) -> Self {
        let mut ranges = ranges
            .iter()
            .map(|range| (*range.start(), *range.end()))
            .collect::<Vec<_>>();
        ranges.sort_unstable();
        // Each then ends where the farthest of those that begin before it does.
        let mut farthest = 0;
        for (_, end) in &mut ranges {
            farthest = farthest.max(*end);
            *end = farthest;
        }
        Self(ranges)
    }

    fn contains(&self, id: u32) -> bool {
        let begun = self.0.partition_point(|(start, _)| *start <= id);
        let last = begun.checked_sub(1).and_then(|last| self.0.get(last));
        last.is_some_and(|(_, end)| id <= *end)
    }
}

/// Looks for words that are not what the file has: their bytes were no UTF-8, and another file or host would be meant.
fn check_encoding(statement: &mut Statement<'_>) -> Result<(), Refused> {
    let is_other = |word: &Word| word.text.contains(char::REPLACEMENT_CHARACTER);
    let Some(at) = statement.line.words.iter().position(is_other) else {
        return Ok(());
    };
    let message = format!("\"{}\" is not UTF-8", statement.word(at));
    statement.refuse(at, message, NOT_UTF8_HELP)
}

/// Refuses a line that nobody has filled in.
fn check_templates(statement: &mut Statement<'_>) -> Result<(), Refused> {
    for at in 1..statement.len() {
        for (begin, end) in TEMPLATE_MARKS {
            let word = statement.word(at);
            let Some(from) = word.find(begin) else { continue };
            let rest = word.get(from..).unwrap_or_default();
            let length = rest.find(end).map_or(rest.len(), |to| to + end.len());
            let variable = rest.get(..length).unwrap_or(rest).to_owned();
            let message = format!("unexpanded template variable \"{variable}\"");
            let help = "ntpd skips the line; write what the variable stands for";
            return statement.refuse(at, message, help);
        }
    }
    Ok(())
}

/// Returns the line of chrony.conf for a rate limit.
fn rate_limit_line(limit: &RateLimit) -> String {
    let RateLimit {
        interval,
        burst,
        leak,
        kod,
    } = limit;
    format!("ratelimit interval {interval} burst {burst} leak {leak} kod {kod}")
}
