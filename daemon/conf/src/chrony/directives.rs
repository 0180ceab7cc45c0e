//! chrony's directives, as a table.

/// Describes one directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directive {
    /// The directive's word, in lower case.
    pub name: &'static str,
    /// The least number of words after it.
    pub arguments_min: usize,
    /// The largest number of words after it; `None` if there is no limit.
    pub arguments_max: Option<usize>,
    /// What a daemon does with it.
    pub standing: Standing,
}

/// Says what a daemon does with a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does what the directive says.
    Honoured,
    /// It accepts and ignores it.
    Ignored,
    /// It accepts it with the warning that it is no longer supported.
    Retired,
}

impl Directive {
    /// Returns the directive with this word; letter case does not matter.
    pub fn find(word: &str) -> Option<&'static Self> {
        DIRECTIVES
            .iter()
            .find(|directive| directive.name.eq_ignore_ascii_case(word))
    }
}

const fn exactly(name: &'static str, arguments: usize) -> Directive {
    between(name, arguments, arguments)
}

const fn between(name: &'static str, arguments_min: usize, arguments_max: usize) -> Directive {
    Directive {
        name,
        arguments_min,
        arguments_max: Some(arguments_max),
        standing: Standing::Honoured,
    }
}

const fn at_least(name: &'static str, arguments_min: usize) -> Directive {
    Directive {
        name,
        arguments_min,
        arguments_max: None,
        standing: Standing::Honoured,
    }
}

const fn retired(name: &'static str) -> Directive {
    Directive {
        name,
        arguments_min: 0,
        arguments_max: None,
        standing: Standing::Retired,
    }
}

/// Every directive of chrony 3.x to 4.8, by name (chrony.conf(5)).
///
/// Numbers of arguments are those of the release that takes most.
pub const DIRECTIVES: &[Directive] = &[
    exactly("acquisitionport", 1),
    between("allow", 0, 2),
    exactly("authselectmode", 1),
    exactly("bindacqaddress", 1),
    exactly("bindacqdevice", 1),
    exactly("bindaddress", 1),
    exactly("bindcmdaddress", 1),
    exactly("bindcmddevice", 1),
    exactly("binddevice", 1),
    between("broadcast", 2, 3),
    exactly("clientloglimit", 1),
    exactly("clockprecision", 1),
    between("cmdallow", 0, 2),
    between("cmddeny", 0, 2),
    exactly("cmdport", 1),
    between("cmdratelimit", 0, 6),
    exactly("combinelimit", 1),
    retired("commandkey"),
    between("confdir", 1, 10),
    exactly("corrtimeratio", 1),
    between("deny", 0, 2),
    between("driftfile", 1, 3),
    exactly("dscp", 1),
    exactly("dumpdir", 1),
    Directive {
        name: "dumponexit",
        arguments_min: 0,
        arguments_max: Some(0),
        standing: Standing::Ignored,
    },
    exactly("fallbackdrift", 2),
    retired("generatecommandkey"),
    exactly("hwclockfile", 1),
    at_least("hwtimestamp", 1),
    exactly("hwtstimeout", 1),
    exactly("include", 1),
    at_least("initstepslew", 1),
    exactly("keyfile", 1),
    exactly("leapseclist", 1),
    exactly("leapsecmode", 1),
    exactly("leapsectz", 1),
    retired("linux_freq_scale"),
    retired("linux_hz"),
    at_least("local", 0),
    exactly("lock_all", 0),
    at_least("log", 0),
    exactly("logbanner", 1),
    exactly("logchange", 1),
    exactly("logdir", 1),
    exactly("mailonchange", 2),
    exactly("makestep", 2),
    exactly("manual", 0),
    exactly("maxchange", 3),
    exactly("maxclockerror", 1),
    exactly("maxdistance", 1),
    exactly("maxdrift", 1),
    exactly("maxjitter", 1),
    exactly("maxntsconnections", 1),
    exactly("maxsamples", 1),
    exactly("maxslewrate", 1),
    exactly("maxstratum", 1),
    exactly("maxtxbuffers", 1),
    exactly("maxupdateskew", 1),
    exactly("minsamples", 1),
    exactly("minsources", 1),
    exactly("minstratum", 1),
    exactly("nocerttimecheck", 1),
    exactly("noclientlog", 0),
    exactly("nosystemcert", 0),
    exactly("ntpsigndsocket", 1),
    at_least("ntsaeads", 0),
    exactly("ntscachedir", 1),
    exactly("ntsdumpdir", 1),
    exactly("ntsntpserver", 1),
    exactly("ntsport", 1),
    exactly("ntsprocesses", 1),
    between("ntsratelimit", 0, 6),
    exactly("ntsrefresh", 1),
    exactly("ntsrotate", 1),
    exactly("ntsservercert", 1),
    exactly("ntsserverkey", 1),
    between("ntstrustedcerts", 1, 2),
    at_least("opencommands", 0),
    at_least("peer", 1),
    exactly("pidfile", 1),
    at_least("pool", 1),
    exactly("port", 1),
    exactly("ptpdomain", 1),
    exactly("ptpport", 1),
    between("ratelimit", 0, 8),
    at_least("refclock", 2),
    exactly("refresh", 1),
    exactly("reselectdist", 1),
    exactly("rtcautotrim", 1),
    exactly("rtcdevice", 1),
    exactly("rtcfile", 1),
    exactly("rtconutc", 0),
    exactly("rtcsync", 0),
    exactly("sched_priority", 1),
    at_least("server", 1),
    between("smoothtime", 2, 3),
    // Other numbers of directories are no error: chronyd 4.3 starts and reads none of them.
    at_least("sourcedir", 0),
    exactly("stratumweight", 1),
    at_least("tempcomp", 3),
    exactly("user", 1),
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
}
