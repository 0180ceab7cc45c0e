//! What `timeball config convert` writes, given to the daemons whose languages it is.

use std::fs;
use std::path::Path;

use conf::config::Config;
use conf::diagnostic::Severity;
use conf::dialect::Dialect;
use conf::include::{ReadError, Reader};

use crate::programs::{libraries, ntpsec_program, peers};
use crate::world::{Host, World, inside, needed};

/// Configurations with every word that another language has too, beside those in the tests of the languages.
const CORPUS: [(Dialect, &str); 15] = [
    (
        Dialect::Chrony,
        "server 192.0.2.11 iburst xleave\npool a.invalid maxsources 3 prefer\npeer 192.0.2.12\nserver b.invalid ipv6 burst \
         noselect trust offset 0.001 version 3 minpoll 3 maxpoll 9\n",
    ),
    (
        Dialect::Chrony,
        "server 192.0.2.11 minpoll -4 maxpoll -2\nserver 192.0.2.12 minpoll 18 maxpoll 20\nserver 192.0.2.13 port 1123\n",
    ),
    (
        Dialect::Chrony,
        "server 192.0.2.11 key 1\nkeyfile @DIR@/keys\nallow 192.0.2.0/24\ndeny 192.0.2.128/25\nallow 2001:db8::/33\n\
         ratelimit interval 2 burst 8 leak 3 kod 2\nbindaddress 192.0.2.1\n",
    ),
    (
        Dialect::Chrony,
        "pool a.invalid\nlocal stratum 8 orphan\nallow\ndriftfile @DIR@/drift\nleapseclist @DIR@/leap\nmakestep 1 3\n\
         maxchange 100 1 2\nmaxdistance 2.5\nminsources 2\nrtcsync\ndscp 10\nmaxclockerror 2\nlock_all\nclientloglimit 1000000\n",
    ),
    (
        Dialect::Chrony,
        "server 192.0.2.11\nlocal stratum 11\nnoclientlog\nmaxupdateskew 5\nleapsectz right/UTC\nlogdir @DIR@\nlog tracking \
         measurements\nrefclock SHM 2 refid GPS poll 3 offset 0.14 stratum 2 prefer\n",
    ),
    (
        Dialect::Ntpd,
        "server 192.0.2.11 iburst\npool a.invalid\npool b.invalid\ntos maxclock 11 minsane 3 floor 2 ceiling 8\n\
         driftfile @DIR@/drift\nleapfile @DIR@/leap\n",
    ),
    (
        Dialect::Ntpd,
        "server 192.0.2.11 key 3\nkeys @DIR@/keys\ntrustedkey 1 3 (5 ... 9)\ncontrolkey 1\n",
    ),
    (
        Dialect::Ntpd,
        "server 192.0.2.11\nrestrict default ignore\nrestrict 192.0.2.0 mask 255.255.255.0 notrust\nrestrict source nomodify\n\
         restrict 192.0.2.17 ntpport ignore\nrestrict 2001:db8::/32 flake version nomrulist\n",
    ),
    (
        Dialect::Ntpd,
        "server 192.0.2.11\nunrestrict default limited noquery\nlimit average 0.25 burst 8 kod 0\n",
    ),
    (
        Dialect::Ntpd,
        "server 192.0.2.11\nserver 127.127.1.0\nfudge 127.127.1.0 stratum 10\ntos orphan 6 orphanwait 60\n",
    ),
    (
        Dialect::Ntpd,
        "server 127.127.28.2 minpoll 4 prefer\nfudge 127.127.28.2 time1 0.1 refid GPS stratum 1\ntinker freq 3 dispersion 0.00001\n\
         disable kernel monitor\nunrestrict default limited\n",
    ),
    (
        Dialect::Ntpd,
        "server 192.0.2.11\ninterface ignore all\ninterface listen eth0\ninterface listen 192.0.2.0/24\ninterface drop ipv6\n",
    ),
    (
        Dialect::Ntpd,
        "server 192.0.2.11\nstatsdir @DIR@/\nstatistics loopstats sysstats\nfilegen peerstats file p type none nolink\n\
         logconfig =syncstatus +sysall\nsetvar a = \"b c\" default\nsetvar d = e\nmru maxdepth 100\nrlimit memlock 32\n",
    ),
    (
        Dialect::OpenNtpd,
        "servers a.invalid\nserver 192.0.2.11 trusted\nlisten on 192.0.2.1\nquery from 192.0.2.1\n",
    ),
    (
        Dialect::OpenNtpd,
        "listen on *\nserver b.invalid\nconstraints from \"c.invalid\"\nconstraint from \"https://d.invalid/e\" 192.0.2.80\n",
    ),
];

/// A text as the only file.
struct Alone<'a>(&'a str);

impl Reader for Alone<'_> {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        match path {
            "" => Ok(self.0.to_owned()),
            _ => Err(ReadError::NotFound),
        }
    }

    fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
        Err(ReadError::NotFound)
    }
}

/// Every configuration of the corpus with which a daemon starts, written in a language.
fn converted(write: fn(&Config) -> String) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/tests");
    let of_tests = [(Dialect::Ntpd, "ntp"), (Dialect::OpenNtpd, "openntpd")];
    let of_tests = of_tests.into_iter().flat_map(|(dialect, name)| {
        let entries = fs::read_dir(folder.join(name)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "conf"));
        paths.map(move |path| (dialect, fs::read_to_string(path).unwrap()))
    });
    let all = CORPUS.map(|(dialect, text)| (dialect, text.to_owned()));
    let all = all.into_iter().chain(of_tests);
    let texts: Vec<String> = all
        .filter_map(|(dialect, text)| {
            let reading = dialect.read("", &Alone(&text));
            let starts = reading
                .diagnostics
                .iter()
                .all(|found| found.severity != Severity::Error);
            starts.then(|| write(&reading.config))
        })
        .collect();
    assert!(texts.len() >= CORPUS.len() + 5, "{}", texts.len());
    texts
}

/// What NTPsec's ntpd says of a configuration until it listens.
fn said_by_ntpsec(world: &World, text: &str) -> String {
    let file = world.write("ntp.conf", &format!("disable ntp\n{text}"));
    world.start_with(
        Host::Ours,
        "ntpd",
        &ntpsec_program(),
        &["-n", "-c", &file],
        &[("LD_LIBRARY_PATH", &libraries())],
    );
    let said = world.wait_until("ntpd listens", || {
        let log = world.log("ntpd");
        if log.contains("Listen") { Ok(log) } else { Err(log) }
    });
    world.stop("ntpd");
    said
}

#[test]
fn chronyd_understands_what_is_converted_to_its_language() {
    inside(|world| {
        let chronyd = needed(Path::new("/usr/sbin/chronyd"));
        let check = |text: &str| {
            let file = world.write("chrony.conf", text);
            world.attempt(Host::Ours, &chronyd, &["-p", "-f", &file], &[])
        };
        assert!(!check("servr 192.0.2.11\n").1);
        for text in converted(conf::chrony::write) {
            let text = text.lines().filter_map(in_chrony_4_3).collect::<String>();
            let (said, is_good) = check(&text);
            assert!(is_good, "{text}\n{said}");
        }
    });
}

/// A line as far as Debian's chronyd can understand it: what `convert` says to be timeballd's own is left out, and what is
/// newer than 4.3, and names in `allow`, which chronyd looks up at once and here in vain.
fn in_chrony_4_3(line: &str) -> Option<String> {
    let (directive, rest) = line.split_once(' ').unwrap_or((line, ""));
    match directive {
        "leapseclist" | "minstratum" | "maxstratum" => None,
        "allow" if rest.ends_with(".invalid") => None,
        _ if directive.starts_with("timeball.") => None,
        "ratelimit" => Some(format!("{}\n", line.split(" kod").next().unwrap_or_default())),
        "local" => {
            let newer = rest.split(' ').skip_while(|word| *word != "waitunsynced").take(2);
            let newer = newer.fold(String::new(), |words, word| words + " " + word);
            Some(format!("{}\n", line.replace(&newer, "")))
        }
        "server" | "pool" | "peer" => Some(format!("{}\n", line.replace(" ipv6", ""))),
        _ => Some(format!("{line}\n")),
    }
}

#[test]
fn ntpsec_understands_what_is_converted_to_its_language() {
    inside(|world| {
        world.write("keys", "1 MD5 61206b657920666f72204d44355f5f5f\n");
        // How a mistake would be said.
        assert!(said_by_ntpsec(world, "servr 192.0.2.11\n").contains("syntax error"));
        for text in converted(conf::ntp::write) {
            let said = said_by_ntpsec(world, &text);
            assert!(
                !said.contains("syntax error") && !said.contains("parsing error"),
                "{text}\n{said}"
            );
        }
    });
}

#[test]
fn openntpd_understands_what_is_converted_to_its_language() {
    inside(|world| {
        let ntpd = needed(&peers().join("openntpd/usr/sbin/ntpd"));
        let check = |text: &str| {
            let file = world.write("ntpd.conf", text);
            world.attempt(Host::Ours, &ntpd, &["-n", "-f", &file], &[])
        };
        assert!(!check("servr 192.0.2.11\n").1);
        for text in converted(conf::openntpd::write) {
            // Debian's OpenNTPD is older than this word, and than addresses behind the URL of a constraint.
            let text = text.replace(" trusted", "");
            let shortened = text.lines().map(|line| match line.split_once("\" ") {
                Some((constraint, _)) if line.starts_with("constraint ") => format!("{constraint}\"\n"),
                _ => format!("{line}\n"),
            });
            let text: String = shortened.collect();
            let (said, is_good) = check(&text);
            assert!(is_good && said.contains("configuration OK"), "{text}\n{said}");
        }
    });
}
