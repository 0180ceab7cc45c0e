//! `server`, `pool` and `peer`.

use std::net::IpAddr;

use crate::chrony::numbers::{integer_prefix, number_prefix};
use crate::chrony::options::{EXTENSION_FIELDS, Outside, SourceOption, SourceOptions, Value, find};
use crate::chrony::source::SourceKind;
use crate::chrony::walk::{Line, Reports};
use crate::chrony::words::is_comment;
use crate::config::{Family, SelectOptions, SourceConfig, SourceKind as Kind, SourceName};
use crate::diagnostic::Severity;

/// Options that belong to NTS, and have nothing to do without it.
const OF_NTS: [&str; 2] = ["certset", "ntsport"];

/// Reads a time source; what is wrong is as grave as `refused`, and then there is none.
pub(super) fn read(
    line: &Line<'_>,
    kind: SourceKind,
    refused: Severity,
    reports: &mut Reports,
) -> Option<SourceConfig> {
    let mut reading = Reading {
        line,
        kind,
        refused,
        reports,
        options: SourceOptions::default(),
        family: None,
        at: 2,
    };
    let Some(name) = line.word(1) else {
        let message = format!("Invalid syntax for {} directive", kind.word());
        reading.refuse(1, message, Some("a name or an address is missing".to_owned()));
        return None;
    };
    while reading.at < line.words.len() {
        reading.option()?;
    }
    let name = match name.parse::<IpAddr>() {
        Ok(address) => SourceName::Address(address),
        Err(_) => SourceName::Name(name.to_owned()),
    };
    if let Some(address) = name.address_of_no_host() {
        let message = format!("no host has the address {address}");
        let help = Some("timeballd goes on without this source".to_owned());
        let reports = reading.reports;
        reports.report(Severity::Warning, line, 1, message, help);
    }
    let kind = match kind {
        SourceKind::Server => Kind::Server,
        SourceKind::Pool => Kind::Pool,
        SourceKind::Peer => Kind::Peer,
    };
    Some(with_options(
        SourceConfig::new(kind, name),
        &reading.options,
        reading.family,
    ))
}

/// The options of one line while they are read.
struct Reading<'a, 'l> {
    line: &'a Line<'l>,
    kind: SourceKind,
    refused: Severity,
    reports: &'a mut Reports,
    options: SourceOptions,
    family: Option<Family>,
    at: usize,
}

impl Reading<'_, '_> {
    /// Reads the option at hand; `None` if the line is refused.
    fn option(&mut self) -> Option<()> {
        let word = self.line.word(self.at).unwrap_or_default();
        let Some(option) = find(word) else {
            let help = if is_comment(word) {
                "a comment needs a line of its own".to_owned()
            } else {
                format!("options of {} are listed in chrony.conf(5)", self.kind.word())
            };
            return self.invalid_option(self.at, help);
        };
        let has_effect = option.for_peers || self.kind != SourceKind::Peer;
        if !has_effect {
            let message = format!("option {} has no effect on a peer", option.word);
            self.reports
                .report(Severity::Warning, self.line, self.at, message, None);
        } else if option.word == "nts" {
            // Without it the time would be taken from anybody.
            let message = format!("nts option in {} directive is not supported", self.kind.word());
            return self.refuse(self.at, message, Some("authenticate with key instead".to_owned()));
        }
        let at = self.at;
        self.at += 1;
        let before = (!has_effect).then(|| self.options.clone());
        self.value(option)?;
        if let Some(before) = before {
            self.options = before;
        }
        if matches!(option.value, Value::ExtensionField) || option.word == "minsamples" {
            let message = format!(
                "{} option in {} directive is not supported",
                option.word,
                self.kind.word()
            );
            let help = Some("timeballd goes on without".to_owned());
            self.reports
                .report(Severity::Warning, self.line, at, message, help);
        }
        Some(())
    }

    /// Reads what follows an option's word.
    fn value(&mut self, option: &SourceOption) -> Option<()> {
        if let Value::Flag { set, .. } = option.value {
            set(&mut self.options);
            match option.word {
                "ipv4" => self.family = Some(Family::V4),
                "ipv6" => self.family = Some(Family::V6),
                _ => {}
            }
            return Some(());
        }
        let text = self.line.word(self.at).unwrap_or_default();
        let range = option.range().map(|range| range.to_string()).unwrap_or_default();
        let rest = match &option.value {
            Value::Flag { .. } => "",
            Value::Integer {
                min,
                max,
                below,
                above,
                set,
                ..
            } => {
                let Some((value, rest)) = integer_prefix(text) else {
                    return self.invalid_value(format!("it takes an integer from {range}"));
                };
                let (least, largest) = accepted(option.word);
                if !(least..=largest).contains(&value) {
                    return self.invalid_value(format!("it takes an integer from {range}"));
                }
                if (*min..=*max).contains(&value) {
                    set(&mut self.options, value);
                } else {
                    let (outside, bound) = if value < *min { (below, min) } else { (above, max) };
                    self.out_of_range(option.word, &range);
                    if *outside == Outside::Clamped {
                        set(&mut self.options, *bound);
                    }
                }
                rest
            }
            Value::Number { taken, set, .. } => {
                let Some((value, rest)) = number_prefix(text) else {
                    return self.invalid_value(format!("it takes a number from {range}"));
                };
                if option.is_out_of_range(value) {
                    self.out_of_range(option.word, &range);
                }
                set(&mut self.options, taken(value));
                rest
            }
            Value::ExtensionField => {
                let field = u16::from_str_radix(text, 16)
                    .ok()
                    .filter(|field| EXTENSION_FIELDS.contains(field));
                let Some(field) = field else {
                    return self.invalid_value("it takes F323 or 10A".to_owned());
                };
                self.options.extfield.push(field);
                ""
            }
        };
        if !rest.is_empty() {
            // chronyd takes the rest of the word for the next option.
            return self.invalid_option(self.at, format!("{rest} is not part of a number"));
        }
        self.at += 1;
        Some(())
    }

    fn invalid_option(&mut self, word: usize, help: String) -> Option<()> {
        let message = format!("Invalid option in {} directive", self.kind.word());
        self.refuse(word, message, Some(help))
    }

    fn invalid_value(&mut self, help: String) -> Option<()> {
        let message = format!("Invalid value in {} directive", self.kind.word());
        self.refuse(self.at, message, Some(help))
    }

    fn refuse(&mut self, word: usize, message: String, help: Option<String>) -> Option<()> {
        self.reports.report(self.refused, self.line, word, message, help);
        None
    }

    fn out_of_range(&mut self, option: &str, range: &str) {
        if OF_NTS.contains(&option) {
            return;
        }
        let message = format!("option {option} has a value out of the range {range}");
        let help = Some("timeballd takes another value instead, as chronyd does".to_owned());
        self.reports
            .report(Severity::Warning, self.line, self.at, message, help);
    }
}

/// The integers with which chronyd starts, whatever it then makes of them (observed with the
/// development version after 4.8).
fn accepted(option: &str) -> (i64, i64) {
    match option {
        "minpoll" | "certset" => (i64::MIN, i64::MAX),
        "maxpoll" | "presend" => (-32, 32),
        "key" => (1, u32::MAX.into()),
        "port" | "ntsport" => (0, u16::MAX.into()),
        "version" => (1, 4),
        "minstratum" => (0, 16),
        "maxsources" | "polltarget" => (1, i32::MAX.into()),
        _ => (0, i32::MAX.into()),
    }
}

/// Fills in the options given.
fn with_options(default: SourceConfig, options: &SourceOptions, family: Option<Family>) -> SourceConfig {
    let min_poll = options.minpoll.unwrap_or(default.min_poll);
    SourceConfig {
        port: options.port.unwrap_or(default.port),
        family,
        min_poll,
        max_poll: options.maxpoll.unwrap_or(default.max_poll).max(min_poll),
        iburst: options.iburst,
        burst: options.burst,
        offline: options.offline,
        auto_offline: options.auto_offline,
        max_sources: options.maxsources.unwrap_or(default.max_sources),
        select: SelectOptions {
            prefer: options.prefer,
            noselect: options.noselect,
            trust: options.trust,
            require: options.require,
        },
        key_id: options.key,
        version: options.version,
        interleaved: options.xleave,
        copy: options.copy,
        presend_poll: options.presend.unwrap_or(default.presend_poll),
        filter_length: options.filter.unwrap_or(default.filter_length),
        poll_target: options.polltarget.unwrap_or(default.poll_target),
        min_samples: options.minsamples,
        max_samples: options.maxsamples,
        max_unreach: options.maxunreach.unwrap_or(default.max_unreach),
        max_delay_s: options.maxdelay.unwrap_or(default.max_delay_s),
        max_delay_ratio: options.maxdelayratio.unwrap_or(default.max_delay_ratio),
        max_delay_dev_ratio: options.maxdelaydevratio.unwrap_or(default.max_delay_dev_ratio),
        max_delay_quantile: options.maxdelayquant.unwrap_or(default.max_delay_quantile),
        min_delay_s: options.mindelay,
        asymmetry: options.asymmetry,
        offset_s: options.offset.unwrap_or(default.offset_s),
        min_stratum: options.minstratum.unwrap_or(default.min_stratum),
        ext_monotonic_root: options.extfield.contains(&0xf323),
        ext_network_correction: options.extfield.iter().any(|field| *field != 0xf323),
        ..default
    }
}
