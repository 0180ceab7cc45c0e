//! A small set of configurations, so that every rule about the clock is in force in some of them.

use std::collections::BTreeMap;

use conf::config::{Config, LogKind};
use conf::diagnostic::Severity;
use conf::{chrony, ntp};
use engine::Once;
use wire::ntp::auth::{Algorithm, Key};

use crate::files::Files;

/// How a host is set up.
pub(crate) struct Setting {
    /// Its configuration; updates of the clock are always logged.
    text: &'static str,
    /// It is an ntp.conf, not a chrony.conf.
    is_ntp_conf: bool,
    /// It must not touch the clock.
    pub(crate) observe: bool,
    /// It measures once and ends.
    pub(crate) once: Option<Once>,
}

const fn steering(text: &'static str) -> Setting {
    Setting {
        text,
        is_ntp_conf: false,
        observe: false,
        once: None,
    }
}

/// A host whose rules say who is told what by control messages, and who keeps files of statistics.
const fn with_rules(text: &'static str) -> Setting {
    Setting {
        is_ntp_conf: true,
        ..steering(text)
    }
}

/// The real-time clock is tracked.
pub(crate) const TRACKING_RTC: Setting =
    steering("server 192.0.2.1 iburst\nmakestep 1 3\nrtcfile /r\nrtcautotrim 2\nlog rtc\n");

pub(crate) const SETTINGS: [Setting; 23] = [
    steering("server 192.0.2.1\n"),
    steering(
        "server 192.0.2.1 iburst\nserver 192.0.2.2 iburst\nserver 192.0.2.3 iburst\nmakestep 1 3\nmaxslewrate 500\n\
         driftfile /d\nmaxchange 1000 1 2\n",
    ),
    steering(
        "pool pool.example iburst maxsources 3\nserver name.example\nmakestep 0.1 -1\nrtcsync\nrefresh 60\n",
    ),
    steering(
        "server 192.0.2.1 key 1 iburst xleave\nserver 2001:db8::2 key 2 xleave minpoll 2 maxpoll 4\n\
         server 192.0.2.3 key 3 version 3\nauthselectmode require\nmaxdrift 100\nkeyfile /k\n",
    ),
    steering("peer 192.0.2.1 xleave\npeer 192.0.2.2 key 1\nlocal stratum 10 orphan\nallow\nmakestep 10 1\n"),
    steering(
        "allow all\nallow 2001:db8::/32\ncmdallow all\nlocal stratum 8\nratelimit interval 1 burst 4 leak 2\n\
         cmdratelimit interval -2\nmanual\nclientloglimit 4096\n",
    ),
    steering(
        "server 192.0.2.1 minpoll 0 maxpoll 3\nleapsecmode slew\nleapseclist /l\nmaxslewrate 1000\nmaxchange 0.5 3 -1\nallow\n",
    ),
    steering(
        "server 192.0.2.1 iburst prefer trust\nserver 192.0.2.2 require\nleapsecmode step\nleapseclist /l\nmakestep 0.01 2\n",
    ),
    Setting {
        text: "server 192.0.2.1 iburst\nserver 192.0.2.2\nmakestep 0.1 -1\nallow\nmanual\n",
        is_ntp_conf: false,
        observe: true,
        once: None,
    },
    Setting {
        text: "server 192.0.2.1 iburst\nserver name.example iburst\n",
        is_ntp_conf: false,
        observe: false,
        once: Some(Once::Set),
    },
    Setting {
        text: "server 192.0.2.1 iburst\n",
        is_ntp_conf: false,
        observe: true,
        once: Some(Once::Log),
    },
    steering(
        "server 192.0.2.1 maxdelay 0.1 maxdelayratio 2 maxdelaydevratio 3 mindelay 0.001 asymmetry 0.2 filter 3 \
         minsamples 4 maxsamples 8 presend 4\nserver 192.0.2.2 minpoll -7 maxpoll -6 burst offset 0.1\n\
         server 192.0.2.3 noselect offline\nserver 192.0.2.4 auto_offline copy\nminsources 2\ncombinelimit 0\n\
         maxupdateskew 5\nmaxdistance 1\nmaxjitter 0.1\ndriftfile /d interval 60\n",
    ),
    steering("sourcedir /s\nopencommands\nport 0\nacquisitionport 1123\nmakestep 1 -1\nmaxchange 100 0 0\n"),
    steering(
        "server 192.0.2.1 extfield F323 extfield F324 xleave iburst\nfallbackdrift 10 12\n\
         leapseclist /l\nmaxclockerror 10\nlog measurements statistics selection\nhwclockfile /h\ncorrtimeratio 10\n\
         smoothtime 400 0.01\nbroadcast 60 192.0.2.255\nallow\n",
    ),
    TRACKING_RTC,
    steering("refclock SHM 0 poll 2\nmakestep 0.1 -1\ndriftfile /d\nallow\n"),
    steering(
        "refclock SHM 0 poll 0 dpoll -4 filter 5 tai refid TAI\nrefclock SHM 1 poll 4 offset 0.1 delay 0.2 precision 1e-3 \
         stratum 3 prefer trust minsamples 4 maxsamples 8\nserver 192.0.2.1 iburst\nleapsecmode slew\nleapseclist /l\n\
         maxchange 10 1 -1\nmaxslewrate 500\nminsources 2\nlocal stratum 8\n",
    ),
    steering(
        "initstepslew 1 192.0.2.1 192.0.2.2 name.example\nserver 192.0.2.3 iburst\nmakestep 10 1\nmaxslewrate 500\n",
    ),
    steering(
        "initstepslew 0.1 192.0.2.5\nrefclock SHM 0 poll 1 require\nserver 192.0.2.1 minpoll 1\nsourcedir /s\nmanual\nallow\n",
    ),
    Setting {
        text: "initstepslew 30 192.0.2.1 pool.example\nrefclock SHM 3 poll 6 dpoll 2 noselect\nserver 192.0.2.2\n",
        is_ntp_conf: false,
        observe: true,
        once: None,
    },
    steering(
        "server 192.0.2.1 iburst\nserver 192.0.2.2 iburst xleave\nserver 192.0.2.3 trust\npeer 192.0.2.4\nallow\n\
         timeball.constraint 198.51.100.1\ntimeball.constraint https://name.example/ 198.51.100.2 2001:db8::3\n\
         timeball.constraints pool.example\nmakestep 1 -1\n",
    ),
    with_rules(
        "server 192.0.2.1 iburst\nserver 192.0.2.2 key 1\nunrestrict default noquery\nrestrict default kod limited nomodify\n\
         restrict 192.0.2.3 noquery\nrestrict 192.0.2.4 ignore\nrestrict 192.0.2.5 nomrulist\n\
         restrict 198.51.100.0 mask 255.255.255.128 version flake\nrestrict ::1\nkeys /k\ntrustedkey 1 2 3\ncontrolkey 2\n\
         setvar site = \"a b\" default\nsetvar rack = r7\nstatsdir /s/\n\
         statistics loopstats peerstats protostats rawstats sysstats\n",
    ),
    with_rules(
        "server 192.0.2.1\npool pool.example\nrestrict default ignore\nrestrict source nomodify\nrestrict name.example notrust\n\
         restrict 192.0.2.0 mask 255.255.255.0 ntpport noserve\ndisable monitor\nkeys /k\ntrustedkey 1\ntos orphan 9\n",
    ),
];

impl Setting {
    pub(crate) fn config(&self) -> Config {
        let files = Files(BTreeMap::from([("/main".to_owned(), self.text.to_owned())]));
        let (mut config, problems) = if self.is_ntp_conf {
            ntp::parse("/main", &files)
        } else {
            chrony::parse("/main", &files)
        };
        config.logs.kinds.insert(LogKind::Tracking);
        config.logs.kinds.insert(LogKind::Measurements);
        let error = problems
            .iter()
            .find(|problem| problem.severity == Severity::Error);
        assert!(error.is_none(), "{error:?}");
        config
    }
}

/// The keys of the host, which its servers know too.
pub(crate) fn keys() -> Vec<Key> {
    [
        Key::new(1, Algorithm::Md5, b"a secret of md5"),
        Key::new(2, Algorithm::Sha256, b"a secret of sha2"),
        Key::new(3, Algorithm::Aes128Cmac, b"a secret of aes1"),
    ]
    .into_iter()
    .map(|key| key.expect("a key"))
    .collect()
}
