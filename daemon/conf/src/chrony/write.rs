//! A configuration, written.

use std::fmt::{Display, Write as _};

use super::options::SourceOptions;
use super::words::words as words_of;
use crate::config::{
    AccessRule, AuthSelectMode, ClientLog, Clock, Config, Conflict, Constraint, Control, Family, LeapMode,
    Local, Logs, OpenCommand, PathSetting, RateLimit, RefClock, RefClockDriver, SelectOptions, Selection,
    Server, SourceConfig, SourceKind, Subnet, Verdict,
};

/// The longest number that is written without an exponent where that would be shorter.
const PLAIN_LENGTH_MAX: usize = 9;

/// Writes a configuration as chrony.conf: what is at its default is left out, and so is what the language has no word
/// for.
///
/// Everything that [`super::parse()`] finds in a file without an error is said: read again, the text is the same
/// configuration.
pub fn write(config: &Config) -> String {
    let default = Config::default();
    let mut lines = Lines::default();
    for source in &config.sources {
        lines.source(source);
    }
    for (place, clock) in config.ref_clocks.iter().enumerate() {
        lines.ref_clock(clock, place);
    }
    for directories in &config.source_dirs {
        let directories = directories.iter().map(String::as_str).collect::<Vec<_>>();
        lines.words("sourcedir", &directories);
    }
    if let Some(step) = &config.initial_step {
        let threshold = exact(step.threshold_s);
        let servers = step.servers.iter().map(String::as_str);
        let words = [threshold.as_str()]
            .into_iter()
            .chain(servers)
            .collect::<Vec<_>>();
        lines.words("initstepslew", &words);
    }
    for constraint in &config.constraints.from {
        let line = constraint_line(constraint);
        lines.line_of_words(&line);
    }
    lines.text(
        "timeball.constraint-ca",
        config.constraints.authority_file.as_deref(),
    );
    lines.selection(&config.selection, &default.selection);
    lines.clock(&config.clock, &default.clock);
    lines.rest_of_clock(config);
    if let Some(local) = &config.local {
        lines.local(local);
    }
    let client = &config.client;
    lines.given("acquisitionport", client.port);
    lines.given("bindacqaddress", client.bind_ipv4);
    lines.given("bindacqaddress", client.bind_ipv6);
    lines.text("bindacqdevice", client.bind_device.as_deref());
    lines.changed("refresh", client.refresh_s, default.client.refresh_s);
    lines.changed("dscp", client.dscp, default.client.dscp);
    lines.server(&config.server, &default.server);
    lines.control(&config.control, &default.control);
    lines.text("keyfile", config.key_file.as_deref());
    lines.text("dumpdir", config.dump_dir.as_deref());
    lines.logs(&config.logs, &default.logs);
    lines.path("pidfile", &config.process.pid_file);
    lines.text("user", config.process.user.as_deref());
    lines.changed("sched_priority", config.process.sched_priority, 0);
    lines.flag("lock_all", config.process.lock_memory);
    lines.given("timeball.metrics-address", config.metrics_address);
    let conflict = config.conflict.map(|policy| match policy {
        Conflict::Observe => "observe",
        Conflict::Fail => "fail",
        Conflict::Ignore => "ignore",
    });
    lines.given("timeball.conflict", conflict);
    lines.text
}

/// Returns a source as a line.
pub(crate) fn source_line(source: &SourceConfig) -> String {
    let word = match source.kind {
        SourceKind::Server => "server",
        SourceKind::Pool => "pool",
        SourceKind::Peer => "peer",
    };
    let mut line = format!("{word} {}", source.name);
    options(source).render(&mut line);
    line
}

/// Returns a constraint as a line.
pub(crate) fn constraint_line(constraint: &Constraint) -> String {
    let word = if constraint.is_pool {
        "timeball.constraints"
    } else {
        "timeball.constraint"
    };
    let mut line = format!("{word} {}", constraint.url);
    for address in &constraint.addresses {
        // Writing to a string cannot fail.
        let _ = write!(line, " {address}");
    }
    line
}

/// Returns the options of a source that are not at their defaults.
fn options(source: &SourceConfig) -> SourceOptions {
    let default = SourceConfig::new(source.kind, source.name.clone());
    fn changed<T: PartialEq + Copy>(value: T, default: T) -> Option<T> {
        (value != default).then_some(value)
    }
    let mut extfield = Vec::new();
    extfield.extend(source.ext_monotonic_root.then_some(0xf323));
    extfield.extend(source.ext_network_correction.then_some(0x010a));
    SourceOptions {
        iburst: source.iburst,
        burst: source.burst,
        prefer: source.select.prefer,
        noselect: source.select.noselect,
        trust: source.select.trust,
        require: source.select.require,
        xleave: source.interleaved,
        offline: source.offline,
        auto_offline: source.auto_offline,
        copy: source.copy,
        ipv4: source.family == Some(Family::V4),
        ipv6: source.family == Some(Family::V6),
        minpoll: changed(source.min_poll, default.min_poll),
        // Without it the largest interval is at least the least one.
        maxpoll: changed(source.max_poll, default.max_poll.max(source.min_poll)),
        maxsources: changed(source.max_sources, default.max_sources),
        key: source.key_id,
        port: changed(source.port, default.port),
        version: source.version,
        presend: changed(source.presend_poll, default.presend_poll),
        minstratum: changed(source.min_stratum, default.min_stratum),
        polltarget: changed(source.poll_target, default.poll_target),
        minsamples: source.min_samples,
        maxsamples: source.max_samples,
        filter: changed(source.filter_length, default.filter_length),
        maxunreach: changed(source.max_unreach, default.max_unreach),
        maxdelay: changed(source.max_delay_s, default.max_delay_s),
        maxdelayratio: changed(source.max_delay_ratio, default.max_delay_ratio),
        maxdelaydevratio: changed(source.max_delay_dev_ratio, default.max_delay_dev_ratio),
        maxdelayquant: changed(source.max_delay_quantile, default.max_delay_quantile),
        mindelay: source.min_delay_s,
        asymmetry: source.asymmetry,
        offset: changed(source.offset_s, default.offset_s),
        extfield,
        ..SourceOptions::default()
    }
}

/// Returns a number as it is read again exactly.
fn exact(number: f64) -> String {
    let (plain, scientific) = (number.to_string(), format!("{number:e}"));
    if plain.len() <= PLAIN_LENGTH_MAX || plain.len() <= scientific.len() {
        plain
    } else {
        scientific
    }
}

/// Lines of a file.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    /// Adds a line of words, unless one of them cannot be a word.
    fn words(&mut self, directive: &str, words: &[&str]) {
        let is_word =
            |text: &&str| matches!(words_of(text)[..], [word] if word.text == *text) && !text.contains('\0');
        if words.iter().all(is_word) {
            self.text.push_str(directive);
            for word in words {
                self.text.push(' ');
                self.text.push_str(word);
            }
            self.text.push('\n');
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn flag(&mut self, directive: &str, is_on: bool) {
        if is_on {
            self.line(directive);
        }
    }

    fn text(&mut self, directive: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.words(directive, &[value]);
        }
    }

    fn given(&mut self, directive: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.words(directive, &[&value.to_string()]);
        }
    }

    fn changed<T: PartialEq + Display + Copy>(&mut self, directive: &str, value: T, default: T) {
        self.given(directive, (value != default).then_some(value));
    }

    /// Adds a number, exactly.
    fn number(&mut self, directive: &str, value: f64, default: f64) {
        self.given(directive, (value != default).then(|| exact(value)));
    }

    fn path(&mut self, directive: &str, path: &PathSetting) {
        match path {
            PathSetting::Default => {}
            PathSetting::Disabled => self.words(directive, &["/"]),
            PathSetting::Path(path) => self.words(directive, &[path]),
        }
    }

    fn source(&mut self, source: &SourceConfig) {
        self.line_of_words(&source_line(source));
    }

    /// Adds a line if all words of it can be said.
    fn line_of_words(&mut self, line: &str) {
        let words = line.split(' ').collect::<Vec<_>>();
        if let [directive, words @ ..] = words.as_slice() {
            self.words(directive, words);
        }
    }

    fn ref_clock(&mut self, clock: &RefClock, place: usize) {
        let RefClockDriver::SharedMemory { unit, permissions } = clock.driver;
        let mut line = format!("refclock SHM {unit}");
        if permissions != 0o600 {
            // Writing to a string cannot fail.
            let _ = write!(line, ":perm={permissions:o}");
        }
        let default = RefClock::new(clock.driver.clone(), super::parse::default_id("SHM", place));
        let mut option = |word: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = write!(line, " {word} {value}");
            }
        };
        let id = clock.reference_id;
        let id_text = String::from_utf8_lossy(&id);
        option(
            "refid",
            (id != default.reference_id).then(|| id_text.trim_end_matches('\0').to_owned()),
        );
        let number = |value: f64, default: f64| (value != default).then(|| exact(value));
        option(
            "poll",
            (clock.poll != default.poll).then(|| clock.poll.to_string()),
        );
        option(
            "dpoll",
            (clock.driver_poll != default.driver_poll).then(|| clock.driver_poll.to_string()),
        );
        option(
            "filter",
            (clock.filter_length != default.filter_length).then(|| clock.filter_length.to_string()),
        );
        option("offset", number(clock.offset_s, default.offset_s));
        option("delay", number(clock.delay_s, default.delay_s));
        option("precision", clock.precision_s.map(exact));
        option("stratum", (clock.stratum != 0).then(|| clock.stratum.to_string()));
        option("minsamples", clock.min_samples.map(|samples| samples.to_string()));
        option("maxsamples", clock.max_samples.map(|samples| samples.to_string()));
        option(
            "maxunreach",
            (clock.max_unreach != default.max_unreach).then(|| clock.max_unreach.to_string()),
        );
        let SelectOptions {
            prefer,
            noselect,
            trust,
            require,
        } = clock.select;
        for (word, is_given) in [
            ("tai", clock.is_tai),
            ("prefer", prefer),
            ("noselect", noselect),
            ("trust", trust),
            ("require", require),
        ] {
            if is_given {
                let _ = write!(line, " {word}");
            }
        }
        self.line(&line);
    }

    fn selection(&mut self, selection: &Selection, default: &Selection) {
        if selection.auth_select_mode != default.auth_select_mode {
            let word = match selection.auth_select_mode {
                AuthSelectMode::Require => "require",
                AuthSelectMode::Prefer => "prefer",
                AuthSelectMode::Mix => "mix",
                AuthSelectMode::Ignore => "ignore",
            };
            self.words("authselectmode", &[word]);
        }
        self.number("combinelimit", selection.combine_limit, default.combine_limit);
        self.number("maxdistance", selection.max_distance_s, default.max_distance_s);
        self.number("maxjitter", selection.max_jitter_s, default.max_jitter_s);
        self.changed("minsources", selection.min_sources, default.min_sources);
        let (reselect, default_reselect) = (selection.reselect_distance_s, default.reselect_distance_s);
        self.number("reselectdist", reselect, default_reselect);
        self.number(
            "stratumweight",
            selection.stratum_weight_s,
            default.stratum_weight_s,
        );
        self.changed("minstratum", selection.min_stratum, default.min_stratum);
        self.changed("maxstratum", selection.max_stratum, default.max_stratum);
        self.changed("minsamples", selection.min_samples, default.min_samples);
        self.changed("maxsamples", selection.max_samples, default.max_samples);
    }

    fn clock(&mut self, clock: &Clock, default: &Clock) {
        if let Some(file) = &clock.drift_file {
            let interval = format!("{:.0}", file.interval_s);
            if file.interval_s == 3600.0 {
                self.words("driftfile", &[&file.path]);
            } else {
                self.words("driftfile", &[&file.path, "interval", &interval]);
            }
        }
        let count = |limit: Option<u32>| limit.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
        if let Some(drift) = clock.fallback_drift {
            self.words("fallbackdrift", &[&drift.min.to_string(), &drift.max.to_string()]);
        }
        // Of two directions that with the larger threshold counts for both: it never steps where it must not.
        if let Some(step) = clock.make_step
            && let Some(threshold_s) = step.threshold_s()
        {
            let threshold = exact(threshold_s);
            self.words("makestep", &[&threshold, &count(step.limit)]);
        }
        if let Some(change) = clock.max_change {
            let offset = exact(change.offset_s);
            let words = [offset.as_str(), &change.start.to_string(), &count(change.ignore)];
            self.words("maxchange", &words);
        }
        self.number(
            "maxclockerror",
            clock.max_clock_error_ppm,
            default.max_clock_error_ppm,
        );
        self.number("maxdrift", clock.max_drift_ppm, default.max_drift_ppm);
        self.number("maxslewrate", clock.max_slew_rate_ppm, default.max_slew_rate_ppm);
        self.number(
            "maxupdateskew",
            clock.max_update_skew_ppm,
            default.max_update_skew_ppm,
        );
        let (ratio, default_ratio) = (clock.correction_time_ratio, default.correction_time_ratio);
        self.number("corrtimeratio", ratio, default_ratio);
        self.given("clockprecision", clock.precision_s.map(exact));
        self.number("logchange", clock.log_change_s, default.log_change_s);
    }

    /// Adds leap seconds and the real-time clock.
    fn rest_of_clock(&mut self, config: &Config) {
        let mode = match config.leap.mode {
            LeapMode::System => None,
            LeapMode::Step => Some("step"),
            LeapMode::Slew => Some("slew"),
            LeapMode::Ignore => Some("ignore"),
        };
        self.text("leapsecmode", mode);
        self.text("leapsectz", config.leap.time_zone.as_deref());
        self.text("leapseclist", config.leap.list_file.as_deref());
        self.flag("rtcsync", config.rtc.kernel_sync);
        self.text("rtcfile", config.rtc.file.as_deref());
        self.text("rtcdevice", config.rtc.device.as_deref());
        self.given("rtcautotrim", config.rtc.auto_trim_s.map(exact));
        self.flag("rtconutc", config.rtc.on_utc);
        self.text("hwclockfile", config.rtc.hwclock_file.as_deref());
    }

    fn local(&mut self, local: &Local) {
        let default = Local::default();
        let mut line = "local".to_owned();
        let mut option = |word: &str, value: f64, default: f64| {
            if value != default {
                let _ = write!(line, " {word} {}", exact(value));
            }
        };
        option("distance", local.distance_s, default.distance_s);
        option("activate", local.activate_s, default.activate_s);
        option("waitsynced", local.wait_synced_s, default.wait_synced_s);
        let wait_unsynced_s = Local::default_wait_unsynced_s(local.orphan);
        option("waitunsynced", local.wait_unsynced_s, wait_unsynced_s);
        if local.stratum != default.stratum {
            let _ = write!(line, " stratum {}", local.stratum);
        }
        if local.orphan {
            line.push_str(" orphan");
        }
        self.line(&line);
    }

    fn server(&mut self, server: &Server, default: &Server) {
        self.changed("port", server.port, default.port);
        self.given("bindaddress", server.bind_ipv4);
        self.given("bindaddress", server.bind_ipv6);
        self.text("binddevice", server.bind_device.as_deref());
        for rule in &server.access_rules() {
            self.access(rule, "allow", "deny");
        }
        self.rate_limit("ratelimit", server.rate_limit, RateLimit::NTP);
        match server.client_log {
            ClientLog::Off => self.line("noclientlog"),
            ClientLog::On { limit_bytes } => {
                if server.client_log != default.client_log {
                    self.words("clientloglimit", &[&limit_bytes.to_string()]);
                }
            }
        }
        if let Some(smoothing) = server.smoothing {
            let frequency = exact(smoothing.max_frequency_ppm);
            let wander = exact(smoothing.max_wander_ppm_per_s);
            let words = [frequency.as_str(), &wander, "leaponly"];
            let count = if smoothing.leap_only { 3 } else { 2 };
            self.words("smoothtime", words.get(..count).unwrap_or_default());
        }
        for broadcast in &server.broadcasts {
            let interval = broadcast.interval_s.to_string();
            let words = [
                interval.as_str(),
                &broadcast.address.to_string(),
                &broadcast.port.to_string(),
            ];
            self.words("broadcast", &words);
        }
    }

    fn access(&mut self, rule: &AccessRule, allow: &str, deny: &str) {
        let directive = match rule.verdict {
            Verdict::Allow => allow,
            Verdict::Deny => deny,
        };
        let subnet = match &rule.subnet {
            Subnet::Everyone => None,
            Subnet::Prefix { address, length } => Some(format!("{address}/{length}")),
            Subnet::Name(name) => Some(name.clone()),
        };
        let words = rule.all.then_some("all").into_iter().chain(subnet.as_deref());
        self.words(directive, &words.collect::<Vec<_>>());
    }

    fn rate_limit(&mut self, directive: &str, limit: Option<RateLimit>, default: RateLimit) {
        let Some(limit) = limit else { return };
        let mut line = directive.to_owned();
        if limit.interval != default.interval {
            let _ = write!(line, " interval {}", limit.interval);
        }
        for (word, value, default) in [
            ("burst", limit.burst, default.burst),
            ("leak", limit.leak, default.leak),
            ("kod", limit.kod, default.kod),
        ] {
            if value != default {
                let _ = write!(line, " {word} {value}");
            }
        }
        self.line(&line);
    }

    fn control(&mut self, control: &Control, default: &Control) {
        self.path("bindcmdaddress", &control.socket);
        self.changed("bindcmdaddress", control.bind_ipv4, default.bind_ipv4);
        self.changed("bindcmdaddress", control.bind_ipv6, default.bind_ipv6);
        self.text("bindcmddevice", control.bind_device.as_deref());
        self.changed("cmdport", control.port, default.port);
        for rule in &control.access {
            self.access(rule, "cmdallow", "cmddeny");
        }
        self.rate_limit("cmdratelimit", control.rate_limit, RateLimit::CONTROL);
        if control.open_commands != default.open_commands {
            let words = control.open_commands.iter().copied().map(OpenCommand::word);
            self.words("opencommands", &words.collect::<Vec<_>>());
        }
        self.flag("manual", control.manual);
    }

    fn logs(&mut self, logs: &Logs, default: &Logs) {
        self.text("logdir", logs.dir.as_deref());
        if !logs.kinds.is_empty() {
            let words = logs.kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>();
            self.words("log", &words);
        }
        self.changed("logbanner", logs.banner_lines, default.banner_lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chrony::parse;
    use crate::include::tests::Files;

    #[test]
    fn what_is_read_is_written_and_read_again_as_the_same() {
        for text in [
            "",
            "server a iburst minpoll 4 key 3 maxdelay 0.1\npool b maxsources 8 trust ipv6\npeer ::1 minpoll 12\n",
            "refclock SHM 0 refid GPS poll 3 offset 0.5\nrefclock SHM 1:perm=0644 tai prefer stratum 2\nleapsectz right/UTC\n",
            "sourcedir /a /b\ninitstepslew 30 a b\nauthselectmode require\nmaxdistance 1.5\nminsources 3\n",
            "driftfile /d interval 60\nmakestep 1 3\nmakestep 0.1 -1\nmaxchange 1000 1 -1\nfallbackdrift 16 19\nrtcsync\n",
            "local stratum 8 orphan\nallow\ndeny all 192.0.2.0/24\nallow 2001:db8::/32\nallow host.example\ncmdallow 10\n",
            "ratelimit interval 1 kod 2\ncmdratelimit burst 16\nclientloglimit 100\nsmoothtime 400 0.01 leaponly\n",
            "bindaddress 192.0.2.1\nbindaddress ::1\nbindcmdaddress /\nbindcmdaddress 0.0.0.0\ncmdport 0\nopencommands\n",
            "noclientlog\nbroadcast 60 192.0.2.255 123\nlogdir /l\nlog tracking rtc\nlogbanner 0\npidfile /\nuser u\nmanual\n",
            "maxdrift 1e12\nmaxupdateskew 1e-12\nmaxjitter 0.30000000000000004\nlogchange 100000\n",
            "keyfile /k\ndumpdir /u\nlock_all\nsched_priority 1\ntimeball.metrics-address 127.0.0.1:9123\ntimeball.conflict fail\nacquisitionport 0\n",
            "timeball.constraint https://a:8443/b?c=%20 192.0.2.1 ::1\ntimeball.constraints https://[::1]/\ntimeball.constraint-ca /c\n",
        ] {
            let (config, diagnostics) = parse("/main", &Files::new(&[("/main", text)]));
            assert_eq!(diagnostics, [], "{text}");
            let written = write(&config);
            let (again, diagnostics) = parse("/main", &Files::new(&[("/main", &written)]));
            assert_eq!(diagnostics, [], "{written}");
            assert_eq!(again, config, "{written}");
            assert_eq!(written.is_empty(), text.is_empty());
        }
    }

    #[test]
    fn options_that_are_left_out_are_written_all_the_same() {
        let text = "server a extfield F323 extfield 10A\nlog tempcomp\n";
        let (config, warnings) = parse("/main", &Files::new(&[("/main", text)]));
        assert_eq!(warnings.len(), 3);
        let written = write(&config);
        let (again, warnings) = parse("/main", &Files::new(&[("/main", &written)]));
        assert_eq!((again, warnings.len()), (config, 3), "{written}");
    }

    #[test]
    fn a_path_never_adds_a_line() {
        let config = Config {
            key_file: Some("/a\nallow".to_owned()),
            dump_dir: Some("/a b".to_owned()),
            ..Config::default()
        };
        assert_eq!(write(&config), "");
    }
}
