//! chrony's directives, as a table.

use crate::words::only_near;

/// Describes one directive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Directive {
    /// The directive's word, in lower case.
    pub name: &'static str,
    /// The least number of words after it.
    pub arguments_min: usize,
    /// The largest number of words after it; `None` if there is no limit.
    pub arguments_max: Option<usize>,
    /// Whether chronyd says what is wrong with the number of words; else it could not parse them.
    pub counted: bool,
    /// What the words are.
    pub argument: Argument,
    /// What holds without it, as it would be written; empty if there is nothing to write.
    pub default: &'static str,
    /// What chronyd does with it.
    pub standing: Standing,
    /// What timeballd does with it.
    pub support: Support,
}

/// Says what the words after a directive are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Argument {
    /// One integer of this range; chronyd does not start with another.
    Integer {
        /// The least.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// One number of this range; of others the nearest is taken.
    Number {
        /// The least.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// One word as it is, or none.
    Text,
    /// Something of its own.
    Other,
}

/// Says what chronyd does with a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does what the directive says.
    Honoured,
    /// It accepts and ignores it.
    Ignored,
    /// It accepts it with the warning that it is no longer supported.
    Retired,
}

/// Says what timeballd does with a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// What chronyd does.
    Full,
    /// Nothing, and nothing is missing: what it would tune is not there, and is refused or warned
    /// about by itself.
    Idle,
    /// It warns and goes on without: served and kept time can be less exact but not wrong, and
    /// nobody is let in.
    LeftOut,
    /// It does not start.
    Refused,
}

impl Directive {
    /// Returns the directive of chrony with this word; letter case does not matter.
    pub fn find(word: &str) -> Option<&'static Self> {
        find_in(DIRECTIVES, word)
    }

    /// Returns the directive of chrony or of timeballd with this word; letter case does not matter.
    pub fn find_or_extension(word: &str) -> Option<&'static Self> {
        Self::find(word).or_else(|| find_in(EXTENSIONS, word))
    }

    /// Returns the name of the directive of chrony or of timeballd that was probably meant.
    pub(super) fn meant_by(word: &str) -> Option<&'static str> {
        let known = DIRECTIVES.iter().chain(EXTENSIONS);
        only_near(word, known.map(|directive| directive.name))
    }

    /// It says itself which words it takes, and only that it could not parse others.
    const fn uncounted(self) -> Self {
        Self {
            counted: false,
            argument: Argument::Other,
            ..self
        }
    }

    const fn own(self) -> Self {
        Self {
            argument: Argument::Other,
            ..self
        }
    }

    const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    const fn support(self, support: Support) -> Self {
        Self { support, ..self }
    }
}

fn find_in(table: &'static [Directive], word: &str) -> Option<&'static Directive> {
    table
        .iter()
        .find(|directive| directive.name.eq_ignore_ascii_case(word))
}

/// The largest number of which the rest of the program has to think: 1e12 s are 30,000 years.
pub(super) const NUMBER_MAX: f64 = 1e12;

const INT_MAX: i64 = i32::MAX as i64;

const fn words(name: &'static str, arguments_min: usize, arguments_max: Option<usize>) -> Directive {
    Directive {
        name,
        arguments_min,
        arguments_max,
        counted: true,
        argument: Argument::Text,
        default: "",
        standing: Standing::Honoured,
        support: Support::Full,
    }
}

const fn text(name: &'static str) -> Directive {
    words(name, 1, Some(1))
}

const fn flag(name: &'static str) -> Directive {
    words(name, 0, Some(0))
}

const fn exactly(name: &'static str, arguments: usize) -> Directive {
    words(name, arguments, Some(arguments)).own()
}

const fn between(name: &'static str, arguments_min: usize, arguments_max: usize) -> Directive {
    words(name, arguments_min, Some(arguments_max)).own()
}

const fn at_least(name: &'static str, arguments_min: usize) -> Directive {
    words(name, arguments_min, None).own()
}

const fn integer(name: &'static str, min: i64, max: i64, default: &'static str) -> Directive {
    Directive {
        argument: Argument::Integer { min, max },
        ..text(name).or(default)
    }
}

const fn number(name: &'static str, min: f64, max: f64, default: &'static str) -> Directive {
    Directive {
        argument: Argument::Number { min, max },
        ..text(name).or(default)
    }
}

const fn positive(name: &'static str, default: &'static str) -> Directive {
    number(name, 0.0, NUMBER_MAX, default)
}

const fn standing(name: &'static str, standing: Standing) -> Directive {
    Directive {
        standing,
        ..at_least(name, 0)
    }
}

/// Every directive of chrony 3.x to 4.8 and of the development after it, by name (chrony.conf(5)).
///
/// Numbers of arguments are those of the release that takes most, ranges those of the latest.
pub const DIRECTIVES: &[Directive] = &[
    // The default is a new port for each request, which cannot be written.
    integer("acquisitionport", 0, 65_535, ""),
    between("allow", 0, 2).uncounted(),
    exactly("authselectmode", 1).uncounted().or("mix"),
    exactly("bindacqaddress", 1),
    text("bindacqdevice"),
    exactly("bindaddress", 1),
    exactly("bindcmdaddress", 1),
    text("bindcmddevice"),
    text("binddevice"),
    between("broadcast", 2, 3).uncounted(),
    exactly("clientloglimit", 1).or("524288"),
    number("clockprecision", 1e-9, 1.0, ""),
    between("cmdallow", 0, 2).uncounted(),
    between("cmddeny", 0, 2).uncounted(),
    integer("cmdport", 0, 65_535, "323"),
    between("cmdratelimit", 0, 6).uncounted(),
    positive("combinelimit", "3.0"),
    standing("commandkey", Standing::Retired),
    between("confdir", 1, 10).uncounted(),
    positive("corrtimeratio", "3.0"),
    between("deny", 0, 2).uncounted(),
    between("driftfile", 1, 3).uncounted(),
    integer("dscp", 0, 63, "0"),
    text("dumpdir"),
    standing("dumponexit", Standing::Ignored),
    exactly("fallbackdrift", 2).or("0 0"),
    standing("generatecommandkey", Standing::Retired),
    text("hwclockfile"),
    at_least("hwtimestamp", 1).uncounted().support(Support::LeftOut),
    positive("hwtstimeout", "0.001").support(Support::Idle),
    exactly("include", 1),
    at_least("initstepslew", 1).uncounted(),
    text("keyfile"),
    text("leapseclist"),
    exactly("leapsecmode", 1).uncounted().or("system"),
    text("leapsectz"),
    standing("linux_freq_scale", Standing::Retired),
    standing("linux_hz", Standing::Retired),
    at_least("local", 0),
    flag("lock_all"),
    at_least("log", 0).uncounted(),
    integer("logbanner", 0, INT_MAX, "32"),
    positive("logchange", "1.0"),
    text("logdir"),
    exactly("mailonchange", 2).support(Support::LeftOut),
    exactly("makestep", 2),
    flag("manual"),
    exactly("maxchange", 3),
    positive("maxclockerror", "1.0"),
    positive("maxdistance", "3.0"),
    positive("maxdrift", "100000"),
    positive("maxjitter", "1.0"),
    integer("maxntsconnections", 1, INT_MAX, "100").support(Support::Idle),
    integer("maxsamples", 0, INT_MAX, "0"),
    positive("maxslewrate", "83333.33333333333"),
    integer("maxstratum", 0, INT_MAX, "15"),
    integer("maxtxbuffers", 0, 1_048_576, "0").support(Support::LeftOut),
    positive("maxupdateskew", "1000.0"),
    integer("minsamples", 0, INT_MAX, "6").support(Support::LeftOut),
    integer("minsources", 1, INT_MAX, "1"),
    integer("minstratum", 0, INT_MAX, "0"),
    integer("nocerttimecheck", 0, INT_MAX, "0").support(Support::Idle),
    flag("noclientlog"),
    flag("nosystemcert").support(Support::Idle),
    text("ntpsigndsocket").support(Support::Refused),
    at_least("ntsaeads", 0).uncounted().support(Support::Idle),
    text("ntscachedir").support(Support::Idle),
    text("ntsdumpdir").support(Support::Idle),
    text("ntsntpserver").support(Support::Idle),
    integer("ntsport", 0, 65_535, "4460").support(Support::Idle),
    integer("ntsprocesses", 0, 1000, "1").support(Support::Idle),
    between("ntsratelimit", 0, 6).uncounted().support(Support::Idle),
    integer("ntsrefresh", 0, INT_MAX, "2419200").support(Support::Idle),
    integer("ntsrotate", 0, INT_MAX, "604800").support(Support::Idle),
    text("ntsservercert").support(Support::Refused),
    text("ntsserverkey").support(Support::Refused),
    between("ntstrustedcerts", 1, 2).support(Support::Idle),
    at_least("opencommands", 0).uncounted(),
    at_least("peer", 1),
    text("pidfile"),
    at_least("pool", 1),
    integer("port", 0, 65_535, "123"),
    integer("ptpdomain", 0, 255, "123").support(Support::Idle),
    integer("ptpport", 0, 65_535, "0").support(Support::Refused),
    between("ratelimit", 0, 8).uncounted(),
    at_least("refclock", 2).uncounted(),
    integer("refresh", 0, INT_MAX, "1209600"),
    positive("reselectdist", "1e-4"),
    positive("rtcautotrim", "0"),
    text("rtcdevice"),
    text("rtcfile"),
    flag("rtconutc"),
    flag("rtcsync"),
    integer("sched_priority", 0, 100, "0"),
    at_least("server", 1),
    between("smoothtime", 2, 3),
    // Other numbers of directories are no error: chronyd 4.3 starts and reads none of them.
    at_least("sourcedir", 0),
    positive("stratumweight", "0.001"),
    between("tempcomp", 3, 6).support(Support::LeftOut),
    text("user"),
];

/// The directives that only timeballd has. Their names have a dot, which no directive of chrony has.
pub const EXTENSIONS: &[Directive] = &[
    exactly("timeball.conflict", 1),
    at_least("timeball.constraint", 1),
    text("timeball.constraint-ca"),
    exactly("timeball.constraints", 1),
    exactly("timeball.metrics-address", 1),
    integer("timeball.server-threads", 0, 1024, "0").support(Support::Refused),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_found_in_any_case() {
        assert!(DIRECTIVES.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(
            Directive::find("MakeStep").map(|directive| directive.name),
            Some("makestep")
        );
        assert_eq!(Directive::find("makestepp"), None);
    }

    #[test]
    fn extensions_cannot_collide_with_directives_of_chrony() {
        assert!(
            EXTENSIONS
                .iter()
                .all(|directive| directive.name.starts_with("timeball."))
        );
        assert!(DIRECTIVES.iter().all(|directive| !directive.name.contains('.')));
        assert_eq!(Directive::find("timeball.metrics-address"), None);
        assert!(Directive::find_or_extension("timeball.metrics-address").is_some());
    }
}
