//! The directives of ntp.conf, as a table.

/// Describes one directive of ntp.conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directive {
    /// Its word; letter case matters.
    pub name: &'static str,
    /// Whether the daemon does not start with an error in it: without the line others could do what they shall not, or
    /// pass for whom they are not.
    pub security: bool,
    /// What timeballd does with it.
    pub support: Support,
}

/// Says what timeballd does with a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// What ntpd does, or what comes next to it.
    Read,
    /// Nothing, and nothing is missing: ntpd of today does nothing either, or there is nothing that it could tune.
    Idle,
    /// It goes on without, and warns why.
    LeftOut(&'static str),
}

impl Directive {
    /// Returns the directive with this word.
    pub fn find(word: &str) -> Option<&'static Self> {
        DIRECTIVES.iter().find(|directive| directive.name == word)
    }

    const fn secure(self) -> Self {
        Self {
            security: true,
            ..self
        }
    }
}

const fn read(name: &'static str) -> Directive {
    Directive {
        name,
        security: false,
        support: Support::Read,
    }
}

const fn idle(name: &'static str) -> Directive {
    Directive {
        support: Support::Idle,
        ..read(name)
    }
}

const fn left_out(name: &'static str, why: &'static str) -> Directive {
    Directive {
        support: Support::LeftOut(why),
        ..read(name)
    }
}

const NOT_UNASKED: &str = "time that nobody asked for is neither sent nor taken; it is easily forged";

/// Every directive of NTPsec 1.2 and those of the classic ntpd 4.2.8 that it no longer has, by name.
pub const DIRECTIVES: &[Directive] = &[
    idle("automax"),
    left_out("broadcast", NOT_UNASKED),
    left_out("broadcastclient", NOT_UNASKED).secure(),
    idle("broadcastdelay"),
    idle("calldelay"),
    read("controlkey").secure(),
    read("crypto").secure(),
    read("disable"),
    read("discard"),
    read("driftfile"),
    read("dscp"),
    read("enable"),
    read("end"),
    left_out("extra", "clients are answered at port 123"),
    read("filegen"),
    read("fudge"),
    idle("ident"),
    read("includefile").secure(),
    read("interface").secure(),
    read("keys").secure(),
    idle("keysdir"),
    read("leapfile"),
    left_out(
        "leapsmearinterval",
        "clients are told of leap seconds as they are; in chrony's language, leapsecmode slew and smoothtime smear them",
    ),
    read("limit"),
    read("logconfig"),
    read("logfile"),
    left_out("manycastclient", NOT_UNASKED).secure(),
    left_out("manycastserver", NOT_UNASKED).secure(),
    idle("mdnstries"),
    read("mru"),
    left_out("multicastclient", NOT_UNASKED).secure(),
    read("nic").secure(),
    idle("nonvolatile"),
    left_out("ntpsigndsocket", "answers are not signed for Samba's clients"),
    read("nts").secure(),
    read("peer"),
    idle("phone"),
    read("pidfile"),
    idle("pollskewlist"),
    read("pool"),
    idle("port"),
    read("refclock"),
    idle("requestkey"),
    idle("reset"),
    read("restrict").secure(),
    idle("revoke"),
    read("rlimit"),
    idle("saveconfigdir"),
    read("server"),
    read("setvar"),
    idle("simulate"),
    read("statistics"),
    read("statsdir"),
    idle("tick"),
    read("tinker"),
    read("tos"),
    idle("trap"),
    read("trustedkey").secure(),
    idle("ttl"),
    read("unconfig"),
    read("unpeer"),
    read("unrestrict").secure(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_letter_case_matters() {
        assert!(DIRECTIVES.is_sorted_by(|a, b| a.name < b.name));
        assert!(Directive::find("restrict").is_some_and(|found| found.security));
        assert_eq!(Directive::find("Restrict"), None);
    }
}
