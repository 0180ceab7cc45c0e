//! The programs: where they are, and how they are started so that they serve or follow.

use std::path::{Path, PathBuf};

use crate::world::{Host, World, needed};

/// The secrets of keys 1 to 4, in order: of MD5, SHA-1, SHA-256 and AES-128-CMAC. Text of 16 characters is understood
/// alike by all.
const SECRETS: [&str; 4] = [
    "a key for MD5___",
    "a key for SHA1__",
    "a key for SHA256",
    "a key for AES128",
];

/// The address of the second host in IPv6.
pub(crate) const THEIR_IPV6: &str = "2001:db8::11";
/// The address of the first host in IPv6.
pub(crate) const OUR_IPV6: &str = "2001:db8::1";

/// Starts timeballd on our host with these lines of configuration.
pub(crate) fn start_timeballd(world: &World, config: &str) {
    start_like_chronyd(
        world,
        Host::Ours,
        "timeballd",
        env!("CARGO_BIN_EXE_timeballd"),
        config,
    );
}

/// Starts chronyd on the other host with these lines of configuration.
pub(crate) fn start_chronyd(world: &World, config: &str) {
    let program = std::env::var("CHRONYD").unwrap_or_else(|_| needed(Path::new("/usr/sbin/chronyd")));
    start_like_chronyd(world, Host::Theirs, "chronyd", &program, config);
}

fn start_like_chronyd(world: &World, host: Host, name: &str, program: &str, config: &str) {
    let keys = write_chrony_keys(world, name);
    // A key makes no source trusted here: beside trusted ones, the interval of any other would have to lie within
    // theirs for it to be followed, which on this cable is chance.
    let text = format!(
        "authselectmode ignore\nkeyfile {keys}\nbindcmdaddress @DIR@/{name}.sock\ncmdport 0\npidfile @DIR@/{name}.pid\n{config}\n"
    );
    let file = world.write(&format!("{name}.conf"), &text);
    world.start(host, name, program, &["-d", "-x", "-u", "root", "-f", &file]);
    world.wait_until("the daemon answers chronyc", || {
        let (text, succeeded) = attempt_chronyc(world, name, &["-n"], "activity");
        if succeeded { Ok(()) } else { Err(text) }
    });
}

/// The key file of timeballd or chronyd; timeballd has a key 5 whose secret the others do not know.
fn write_chrony_keys(world: &World, name: &str) -> String {
    let [md5, sha1, sha256, aes128] = SECRETS.map(|secret| hexadecimal(secret.as_bytes()));
    let own = hexadecimal(name.as_bytes());
    let text = format!(
        "1 MD5 HEX:{md5}\n2 SHA1 HEX:{sha1}\n3 SHA256 HEX:{sha256}\n4 AES128 HEX:{aes128}\n5 SHA1 HEX:{own}{own}\n"
    );
    world.write(&format!("{name}.keys"), &text)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// `chronyc ntpdata` of one of its sources, once a daemon has accepted the newest answer by all tests: on a busy machine
/// one answer may be late enough to be refused.
pub(crate) fn accepted(world: &World, daemon: &str, source: impl std::fmt::Display) -> String {
    world.wait_until(&format!("an answer of {source} passes all tests"), || {
        let data = chronyc(world, daemon, &["-n"], &format!("ntpdata {source}"));
        if data.contains("NTP tests       : 111 111 1111") {
            Ok(data)
        } else {
            Err(data)
        }
    })
}

/// What chronyc prints when it asks the daemon of this name.
#[track_caller]
pub(crate) fn chronyc(world: &World, name: &str, options: &[&str], command: &str) -> String {
    let (text, succeeded) = attempt_chronyc(world, name, options, command);
    assert!(succeeded, "chronyc {command}: {text}");
    text
}

fn attempt_chronyc(world: &World, name: &str, options: &[&str], command: &str) -> (String, bool) {
    let socket = world.path(&format!("{name}.sock"));
    let mut arguments = options.to_vec();
    arguments.extend(command.split(' '));
    chronyc_at(world, socket.to_str().unwrap(), &arguments)
}

/// What chronyc prints when it asks the daemon at a socket, and whether it succeeds.
pub(crate) fn chronyc_at(world: &World, socket: &str, arguments: &[&str]) -> (String, bool) {
    let program = std::env::var("CHRONYC").unwrap_or_else(|_| needed(Path::new("/usr/bin/chronyc")));
    let mut all = vec!["-h", socket];
    all.extend(arguments);
    world.attempt(Host::Ours, &program, &all, &[])
}

/// Runs chronyd once on the other host, as a client that only says how wrong the clock is; returns what it logs.
pub(crate) fn chronyd_once(world: &World, source: &str) -> String {
    let program = std::env::var("CHRONYD").unwrap_or_else(|_| needed(Path::new("/usr/sbin/chronyd")));
    let keys = format!("keyfile {}", write_chrony_keys(world, "chronyd"));
    let pid_file = format!("pidfile {}", world.path("once.pid").display());
    let arguments = [
        "-Q",
        "-t",
        "60",
        "-u",
        "root",
        source,
        &keys,
        &pid_file,
        "cmdport 0",
        "bindcmdaddress /",
    ];
    world.run(Host::Theirs, &program, &arguments)
}

/// Starts NTPsec's ntpd on the other host with these lines of configuration. It never corrects the clock, answers
/// however often it is asked, and logs what it measures in `peerstats`.
pub(crate) fn start_ntpsec(world: &World, config: &str) {
    let [md5, sha1, sha256, aes128] = SECRETS.map(|secret| hexadecimal(secret.as_bytes()));
    // Secrets of more than 20 characters are in hexadecimal.
    let keys = format!("1 MD5 {md5}\n2 SHA1 {sha1}\n3 SHA256 {sha256}\n4 AES-128 {aes128}\n");
    let keys = world.write("ntpsec.keys", &keys);
    let text = format!(
        "disable ntp\nunrestrict default limited\nkeys {keys}\ntrustedkey 1 2 3 4\nstatsdir @DIR@/\nstatistics peerstats\n\
         filegen peerstats file peerstats type none enable\n{config}\n"
    );
    let file = world.write("ntpsec.conf", &text);
    let libraries = libraries();
    world.start_with(
        Host::Theirs,
        "ntpsec",
        &ntpsec_program(),
        &["-n", "-c", &file],
        &[("LD_LIBRARY_PATH", &libraries)],
    );
    world.wait_until("NTPsec's ntpd listens", || {
        let log = world.log("ntpsec");
        if log.contains(&format!("[{THEIR_IPV6}]:123")) {
            Ok(())
        } else {
            Err(log)
        }
    });
}

/// Runs NTPsec's ntpdig on the other host; returns its answer.
pub(crate) fn ntpdig(world: &World, arguments: &[&str]) -> String {
    ntpsec_tool(world, Host::Theirs, "ntpdig", arguments)
}

/// NTPsec's ntpd.
pub(crate) fn ntpsec_program() -> String {
    needed(&peers().join("ntpsec/usr/sbin/ntpd"))
}

/// Runs a tool of NTPsec's, which has to succeed; returns what it prints.
pub(crate) fn ntpsec_tool(world: &World, host: Host, tool: &str, arguments: &[&str]) -> String {
    let (text, succeeded) = attempt_ntpsec_tool(world, host, tool, arguments);
    assert!(succeeded, "{tool} {arguments:?}: {text}");
    text
}

/// Runs a tool of NTPsec's; returns what it prints, and whether it succeeds.
pub(crate) fn attempt_ntpsec_tool(
    world: &World,
    host: Host,
    tool: &str,
    arguments: &[&str],
) -> (String, bool) {
    let program = needed(&peers().join("ntpsec/usr/bin").join(tool));
    let modules = needed(&peers().join("ntpsec/usr/lib/python3/dist-packages"));
    let libraries = libraries();
    let mut all = vec![program.as_str()];
    all.extend(arguments);
    let environment = [
        ("PYTHONPATH", modules.as_str()),
        ("LD_LIBRARY_PATH", libraries.as_str()),
    ];
    world.attempt(host, "python3", &all, &environment)
}

/// Starts OpenNTPD's ntpd on the other host with these lines of configuration. Its timers are hurried, so that what
/// takes it minutes takes seconds.
pub(crate) fn start_openntpd(world: &World, config: &str) {
    let library = prepare_for_openntpd(world);
    let file = world.write("openntpd.conf", &format!("{config}\n"));
    world.start_with(
        Host::Theirs,
        "openntpd",
        &needed(&peers().join("openntpd/usr/sbin/ntpd")),
        &["-d", "-v", "-f", &file],
        &[("LD_PRELOAD", &library), ("HURRY", "20")],
    );
    world.wait_until("OpenNTPD's ntpd runs", || {
        let log = world.log("openntpd");
        if log.contains("ntp engine ready") {
            Ok(())
        } else {
            Err(log)
        }
    });
}

/// Makes what OpenNTPD's ntpd wants to find, and the library that lets it believe that it may set the clock; returns the
/// path of that.
pub(crate) fn prepare_for_openntpd(world: &World) -> String {
    let users =
        ["root", "ntpd", "openntpd"].map(|name| format!("{name}:x:0:0::/var/lib/openntpd:/bin/false\n"));
    let users = world.write("passwd", &users.concat());
    world.run(
        Host::Ours,
        "sh",
        &[
            "-euxc",
            "mount -t tmpfs tmpfs /var/lib; mkdir -p /var/lib/openntpd/run /var/lib/openntpd/db; \
             mount --bind \"$0\" /etc/passwd",
            &users,
        ],
    );
    let library = world.path("preload.so");
    let library = library.to_str().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/preload.c");
    let source = source.to_str().unwrap();
    world.run(
        Host::Ours,
        "cc",
        &[
            "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source,
        ],
    );
    library.to_owned()
}

/// Where libraries are that the machine may not have.
pub(crate) fn libraries() -> String {
    let folder = peers().join("libraries");
    let folders = ["usr/lib", "lib"].map(|lib| folder.join(lib));
    let folders = folders
        .iter()
        .filter_map(|lib| std::fs::read_dir(lib).ok())
        .flatten();
    let folders = folders.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned());
    let folders = folders.filter(|path| path.ends_with("-linux-gnu"));
    folders.collect::<Vec<_>>().join(":")
}

/// Where Debian's packages are unpacked that cannot be installed side by side.
pub(crate) fn peers() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers");
    std::env::var_os("TIMEBALL_PEERS").map_or_else(own, PathBuf::from)
}
