//! What the program says and with which status it ends, before it is a daemon, under each of its names.

#![allow(clippy::unwrap_used, reason = "what a test cannot have is a failed test")]

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Somebody who owns nothing.
const NOBODY: u32 = 65534;

/// Runs the program under a name; returns its status, and what it prints where, without the time before a line. It cannot touch
/// the clock, whatever it takes its arguments for.
fn run(name: &str, arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(name);
    symlink(env!("CARGO_BIN_EXE_timeballd"), &program).unwrap();
    let mut command = Command::new("setpriv");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"]);
    }
    let output = command.arg(&program).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec())
            .unwrap()
            .replace(program.to_str().unwrap(), name);
        text.lines()
            .map(|line| line.split_once("Z ").map_or(line, |(_, rest)| rest).to_owned() + "\n")
            .collect()
    };
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[track_caller]
fn check(arguments: &[&str], status: i32, stdout: &str, stderr: &str) {
    let expected = (status, stdout.to_owned(), stderr.to_owned());
    assert_eq!(run("timeballd", arguments), expected);
    assert_eq!(run("chronyd", arguments), expected);
}

#[test]
fn the_version_is_that_of_the_name() {
    let (status, version, _) = run("timeballd", &["-v"]);
    assert_eq!(status, 0);
    let own = concat!(
        "timeballd (timeball) version ",
        env!("CARGO_PKG_VERSION"),
        " (+CMDMON "
    );
    assert!(version.starts_with(own), "{version}");
    let (_, version, _) = run("chronyd", &["--version"]);
    assert!(version.starts_with("chronyd (chrony) version 4."), "{version}");
}

#[test]
fn help_names_the_files_of_the_name() {
    let (status, help, _) = run("chronyd", &["-h"]);
    assert_eq!(status, 0);
    assert!(
        help.starts_with("Usage: chronyd [OPTION]... [DIRECTIVE]...\n\nOptions:\n  -4\t\t"),
        "{help}"
    );
    assert!(
        help.contains("(/etc/chrony/chrony.conf)") && !help.contains("--dialect"),
        "{help}"
    );
    let (_, help, _) = run("timeballd", &["--help"]);
    assert!(help.contains("(/etc/timeball/timeballd.conf)"), "{help}");
    assert!(
        help.contains("\n  --dialect NAME\tLanguage of the configuration: "),
        "{help}"
    );
}

#[test]
fn the_daemons_called_ntpd_have_their_own_command_lines() {
    let (status, version, _) = run("ntpd", &["--version"]);
    let own = concat!("ntpd timeball-", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((status, version.as_str()), (0, own));
    let (status, help, _) = run("ntpd", &["-h"]);
    assert_eq!(status, 0);
    assert!(
        help.starts_with("Usage: ntpd [OPTION]... [SERVER]...\n") && help.contains("-g, --panicgate "),
        "{help}"
    );
    for arguments in [&["-Z"][..], &["--foo"], &["-c"]] {
        let (status, out, error) = run("ntpd", arguments);
        assert_eq!((status, out.as_str()), (1, ""), "{arguments:?}");
        assert!(
            error.starts_with("ntpd: ") && error.contains("\nUsage: ntpd "),
            "{error}"
        );
    }
    let (status, _, error) = run("openntpd", &["-Z"]);
    let said = "openntpd: invalid option -- 'Z'\nusage: ntpd [-dnSsv] [-f file] [-p file]\n";
    assert_eq!((status, error.as_str()), (1, said));
}

#[test]
fn what_ntpd_is_asked_on_its_command_line_counts_after_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ntp.conf");
    fs::write(&file, "driftfile /in/file\nserver 192.0.2.7 iburst\n").unwrap();
    let path = file.to_str().unwrap();
    let arguments = ["--check-config", "-c", path, "-f", "/drift", "-x", "192.0.2.8"];
    let (status, text, error) = run("ntpd", &arguments);
    assert_eq!((status, error.as_str()), (0, ""), "{text}");
    let after = [
        "driftfile /in/file\n",
        "server 192.0.2.7 iburst\n",
        "driftfile /drift\nmakestep 600 -1\nserver 192.0.2.8 iburst\n",
    ];
    assert!(text.ends_with(&after.concat()), "{text}");
    // What is wrong there is said with its place; a server that nobody can have is left out.
    let (status, _, error) = run("ntpd", &["--check-config", "-c", path, "-t", "many"]);
    assert_eq!(status, 1);
    assert!(error.starts_with("command line:1:12: error: "), "{error}");
}

#[test]
fn the_directory_beside_ntp_conf_is_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ntp.conf");
    fs::write(&file, "server 192.0.2.7\nend\n").unwrap();
    fs::create_dir(folder.path().join("ntp.d")).unwrap();
    for (name, line) in [
        ("b.conf", "server 192.0.2.9"),
        ("a.conf", "server 192.0.2.8"),
        ("c", "bad"),
    ] {
        fs::write(folder.path().join("ntp.d").join(name), line).unwrap();
    }
    let path = file.to_str().unwrap();
    for (name, arguments) in [
        ("ntpd", &["--check-config", "-c", path][..]),
        ("timeballd", &["-p", "--dialect", "ntpd", "-f", path]),
    ] {
        let (status, text, error) = run(name, arguments);
        assert_eq!((status, error.as_str()), (0, ""), "{name}");
        assert!(
            text.ends_with("server 192.0.2.7\nserver 192.0.2.8\nserver 192.0.2.9\n"),
            "{name}: {text}"
        );
    }
}

#[test]
fn the_seeds_files_as_printed_do_not_start_and_say_why() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/tests/ntp");
    for name in ["client.conf", "server.conf"] {
        let file = folder.join(name);
        let (status, _, error) = run("timeballd", &["-d", "-x", "-f", file.to_str().unwrap()]);
        assert_eq!(status, 1, "{name}: {error}");
        // Every diagnostic that is a golden text of the language is said by the program, with its place and its help.
        let golden = fs::read_to_string(file.with_extension("said")).unwrap();
        let mut count = 0;
        for (first, help) in golden.lines().zip(golden.lines().skip(3)) {
            let Some((severity, rest)) = first.split_once(": /etc/ntp.conf:") else {
                continue;
            };
            if !matches!(severity, "error" | "warning" | "skipped") {
                continue;
            }
            let (place, message) = rest.split_once(": ").unwrap();
            let said = format!("{}:{place}: ", file.display());
            let line = error
                .lines()
                .find(|line| line.contains(&said) && line.contains(message));
            let line = line.unwrap_or_else(|| panic!("{first} is not in:\n{error}"));
            let help = help.trim().strip_prefix("help: ").unwrap_or_default();
            assert!(line.contains(help), "{help}: {line}");
            count += 1;
        }
        assert!(count >= 2, "{golden}");
        assert!(error.contains("Fatal error : Not started : "), "{error}");
    }
}

#[test]
fn a_tolerant_daemon_starts_with_rules_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ntp.conf");
    fs::write(&file, "disable ntp\nrestrict 10.0.0.0/8 nopee\nkeys\n").unwrap();
    let path = file.to_str().unwrap();
    let refused = |arguments: &[&str]| {
        let (status, _, error) = run("ntpd", &[&["-n", "-c", path], arguments].concat());
        assert_eq!(status, 1, "{error}");
        let count = error.split("Not started : ").nth(1).unwrap();
        count.split(' ').next().unwrap().to_owned()
    };
    assert_eq!(
        (refused(&[]).as_str(), refused(&["--tolerant"]).as_str()),
        ("2", "1")
    );
}

#[test]
fn an_option_that_does_not_exist_is_answered_with_help() {
    let (status, help, error) = run("chronyd", &["-Z"]);
    assert_eq!((status, error.as_str()), (1, "chronyd: invalid option -- 'Z'\n"));
    assert!(help.starts_with("Usage: "), "{help}");
    let (status, _, error) = run("timeballd", &["-f"]);
    assert_eq!(
        (status, error.as_str()),
        (1, "timeballd: option requires an argument -- 'f'\n")
    );
}

#[test]
fn a_configuration_is_printed_as_it_is_understood() {
    check(
        &["-p", "server  192.0.2.7   iburst", "makestep 1 3"],
        0,
        "server 192.0.2.7 iburst\nmakestep 1 3\n",
        "",
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.conf");
    fs::write(&file, "# comment\n\n  pool  a  iburst\nfoo\nport 0\n").unwrap();
    let path = file.to_str().unwrap();
    let error = format!(
        "{path}:4:1: Invalid directive foo\n  foo\n  ^^^\n  help: directives are listed in chrony.conf(5)\nFatal error : Invalid directive foo at line 4 in file {path}\n"
    );
    check(&["-p", "-f", path], 1, "pool a iburst\nfoo\n", &error);
}

#[test]
fn a_configuration_may_come_through_a_pipe() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_timeballd"))
        .args(["-p", "-f", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(b"server a iburst\nserver b minpoll x\n").unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "server a iburst\nserver b minpoll x\n"
    );
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("at line 2 in file /dev/stdin"), "{error}");
}

#[test]
fn what_is_wrong_ends_the_program_in_chronyds_words() {
    check(&["-L", "x", "-p"], 1, "", "Fatal error : Invalid argument x\n");
    check(
        &["-p", "-f", "/no/such"],
        1,
        "",
        "Fatal error : Could not open /no/such : No such file or directory\n",
    );
    check(&["-N", "99", "-d"], 1, "", "Fatal error : Invalid argument 99\n");
    check(
        &["-p", "--", "-p"],
        1,
        "-p\n",
        "arguments:1:1: Invalid directive -p\n  -p\n  ^^\n  help: directives are listed in chrony.conf(5)\nFatal error : Invalid directive -p at line 1\n",
    );
}

#[test]
fn arguments_out_of_range_end_the_program_in_chronyds_words() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = format!("pidfile {}", folder.path().join("pid").display());
    let rest = [
        "-x",
        "-U",
        "-d",
        "port 0",
        "cmdport 0",
        "bindcmdaddress /",
        "server 127.0.0.1",
        &pid_file,
    ];
    for (option, value, why) in [
        ("-P", "100", "Bad scheduler priority: 100"),
        ("-P", "-1", "Bad scheduler priority: -1"),
        ("-F", "3", "Unsupported filter level"),
        ("-F", "-3", "Unsupported filter level"),
    ] {
        let (status, _, said) = run("chronyd", &[&[option, value], &rest[..]].concat());
        assert_eq!(
            (status, said.lines().last()),
            (1, Some(format!("Fatal error : {why}").as_str())),
            "{option} {value}: {said}"
        );
    }
}

#[test]
fn pipes_do_not_hold_up_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["drift", "keys", "pid", "measurements.log"] {
        let made = Command::new("mkfifo")
            .arg(folder.path().join(name))
            .status()
            .unwrap();
        assert!(made.success());
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (status, _, said) = run(
        "chronyd",
        &[
            "-Q",
            "server 127.0.0.1 port 9 iburst",
            &format!("driftfile {}", path("drift")),
            &format!("keyfile {}", path("keys")),
            &format!("pidfile {}", path("pid")),
            &format!("logdir {}", folder.path().display()),
            "log measurements",
        ],
    );
    assert_eq!(status, 1, "{said}");
    for line in [
        format!(
            "Could not read valid frequency and skew from driftfile {}",
            path("drift")
        ),
        format!(
            "Could not open keyfile {} : It is no regular file\n",
            path("keys")
        ),
    ] {
        assert!(said.contains(&line), "{said}");
    }
}

#[test]
fn the_daemon_says_in_the_background_too_why_it_does_not_start() {
    let pid_file = [
        "-x",
        "-U",
        "port 0",
        "cmdport 0",
        "bindcmdaddress /",
        "pidfile /no/such/pid",
    ];
    check(
        &pid_file,
        1,
        "",
        "Could not open /no/such/pid : No such file or directory\n",
    );
    check(
        &["-x", "-U", "makestp 1 3"],
        1,
        "",
        "arguments:1:1: Invalid directive makestp\n  makestp 1 3\n  ^^^^^^^\n  help: did you mean \"makestep\"?\nInvalid directive makestp at line 1\n",
    );
    let idle = [
        "-x",
        "-U",
        "-u",
        "root",
        "port 0",
        "cmdport 0",
        "bindcmdaddress /",
        "pidfile /",
    ];
    check(&idle, 1, "", "Nothing to do\n");
}

#[test]
fn the_daemon_in_the_foreground_says_on_the_terminal_why_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let rest = [
        "-x",
        "-U",
        "port 0",
        "cmdport 0",
        "bindcmdaddress /",
        "pidfile /no/such/pid",
    ];
    let fatal = "Fatal error : Could not open /no/such/pid : No such file or directory\n";
    for options in [
        &["-n"][..],
        &["-n", "-l", &log],
        &["-d"],
        &["-n", "-l", "/dev/stderr"],
    ] {
        let (status, _, said) = run("chronyd", &[options, &rest].concat());
        assert_eq!(
            (status, said.matches(fatal).count()),
            (1, 1),
            "{options:?}: {said}"
        );
        let is_elsewhere = options == ["-n"] || options.contains(&log.as_str());
        assert_eq!(said == fatal, is_elsewhere, "{options:?}: {said}");
    }
    assert!(fs::read_to_string(&log).unwrap().ends_with(fatal));
}

/// Whoever is not root becomes nobody, and is not asked whether there is such a user.
#[test]
fn a_user_whom_there_is_not_is_told_with_the_line() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("conf");
    let path = file.to_str().unwrap();
    fs::write(&file, "server 127.0.0.1\n  User  nosuchuser\n").unwrap();
    let help = "help: the daemon becomes this user, who has to be there; root keeps it as it is";
    let why = "Could not get user/group ID of nosuchuser";
    for (arguments, shown) in [
        (
            &["-x", "-f", path][..],
            format!("{path}:2:9: {why}\n    User  nosuchuser\n          ^^^^^^^^^^\n  {help}\n"),
        ),
        (
            &["-x", "user root", "user nosuchuser"],
            format!("arguments:2:6: {why}\n  user nosuchuser\n       ^^^^^^^^^^\n  {help}\n"),
        ),
        (&["-x", "-u", "nosuchuser", "-f", path], String::new()),
    ] {
        check(arguments, 1, "", &format!("{shown}{why}\n"));
        let (status, _, said) = run("chronyd", &[&["-d"], arguments].concat());
        let end = format!("{shown}Fatal error : {why}\n");
        assert!(status == 1 && said.ends_with(&end), "{said}");
    }
}

#[test]
fn the_directory_of_the_pid_file_is_made_where_it_is_that_of_the_logs() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new");
    let lines = [
        "server 127.0.0.1 port 9".to_owned(),
        "port 0".to_owned(),
        "cmdport 0".to_owned(),
        "bindcmdaddress /".to_owned(),
        format!("logdir {}", new.display()),
        format!("pidfile {}", new.join("pid").display()),
    ];
    let options = ["-x", "-U", "-d", "-t", "1"];
    let arguments: Vec<&str> = options
        .into_iter()
        .chain(lines.iter().map(String::as_str))
        .collect();
    let (_, _, said) = run("chronyd", &arguments);
    assert!(said.contains("Timeout reached"), "{said}");
    assert!(new.is_dir() && !new.join("pid").exists());
}

#[test]
fn measuring_once_without_a_source_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let directory = format!("sourcedir {}", folder.path().display());
    for source in ["server 127.0.0.1 port 9 iburst", "cmdport 0", &directory] {
        let (status, _, said) = run("chronyd", &["-Q", source]);
        let lines: Vec<&str> = said.lines().rev().take(2).collect();
        let end = ["chronyd exiting", "No suitable source for synchronisation"];
        assert_eq!(
            (status, lines.as_slice()),
            (1, end.as_slice()),
            "{source}: {said}"
        );
    }
}

#[test]
fn a_pipe_among_the_files_of_a_directory_does_not_hold_up_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.conf");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let directory = format!("confdir {}", folder.path().display());
    let (status, _, said) = run("chronyd", &["-Q", &directory]);
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains(&format!("{} : It is no regular file", pipe.display())),
        "{said}"
    );
}

#[test]
fn who_is_not_root_is_told_how_to_observe() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("timeballd");
    // Copied by a process of its own: a program that is open for writing, in a child that another test has just started too,
    // cannot be run.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_timeballd"))
        .arg(&program)
        .status();
    assert!(copied.unwrap().success());
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command
        .args(["-x", "-d", "server 127.0.0.1 port 9"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let end = "; `pidfile /` is for none, `pidfile PATH` for another\n";
    assert!(
        error.contains("Could not open /run/timeballd/timeballd.pid : ") && error.ends_with(end),
        "{error}"
    );
}

/// Whoever is root only there has all capabilities, and the clock is refused all the same.
#[test]
fn root_of_a_user_namespace_is_told_that_no_capability_helps() {
    let inside = ["--user", "--map-root-user", "--net"];
    let mut command = Command::new("unshare");
    command.args(inside);
    if !command.arg("true").output().unwrap().status.success() {
        println!("skipped: there are no user namespaces here");
        return;
    }
    let output = Command::new("unshare")
        .args(inside)
        .arg(env!("CARGO_BIN_EXE_timeballd"))
        .args([
            "-d",
            "-U",
            "server 127.0.0.1 port 9",
            "pidfile /",
            "cmdport 0",
            "bindcmdaddress /",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("lets only the initial user namespace do that"),
        "{said}"
    );
    assert!(!said.contains("--cap-add"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeballd"));
    let output = command.args(["ctl", "--help"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = "could not write the answer : No space left on device\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), error);
}

#[test]
fn a_daemon_that_runs_already_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    fs::write(&path, "1\n").unwrap();
    let path = path.to_str().unwrap();
    let (status, _, error) = run(
        "chronyd",
        &["-x", "-U", "-d", "port 0", &format!("pidfile {path}")],
    );
    assert_eq!(status, 1);
    let last = error.lines().last().unwrap();
    let expected = format!("Fatal error : Another chronyd may already be running (pid=1), check {path}");
    assert_eq!(last, expected);
}

#[test]
fn an_ntp_conf_is_recognised_and_printed_in_chronys_language() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ntp.conf");
    let path = file.to_str().unwrap();
    fs::write(
        &file,
        "pool a iburst\nserver iburst\nrestrict 10.1.0.0/16 noserve\n",
    )
    .unwrap();
    let (status, printed, said) = run("timeballd", &["-p", "-f", path]);
    assert_eq!(status, 1);
    assert!(
        printed.ends_with("pool a iburst maxsources 9\ndeny 10.1.0.0/16\n"),
        "{printed}"
    );
    let expected = format!(
        "{path}:2:8: error: missing address after \"server\" (\"iburst\" is an option)\n  server iburst\n         ^^^^^^\n"
    );
    assert!(said.starts_with(&expected), "{said}");
    // Nor is a file right with a line of which the daemon only warns.
    fs::write(&file, "server 192.0.2.1\nservr e\nrestrict default ignore\n").unwrap();
    let (status, _, said) = run("timeballd", &["-p", "--dialect", "ntpd", "-f", path]);
    let expected = format!("{path}:2:1: error: unknown directive \"servr\" ignored\n");
    assert!(status == 1 && said.starts_with(&expected), "{said}");
    // What is only skipped keeps nobody from starting, and what is about access does.
    let start = |text: &str| {
        fs::write(&file, text).unwrap();
        run("timeballd", &["-Q", "-t", "1", "--dialect", "ntpd", "-f", path])
    };
    let (status, _, said) = start("server iburst\nrestrict default ignore\n");
    assert!(
        said.contains("error: missing address") && said.contains("No suitable source for synchronisation"),
        "{said}"
    );
    assert_eq!(status, 1);
    let (status, _, said) = start("server 192.0.2.1\nrestrict nomodify\n");
    assert_eq!(status, 1);
    let end = "Fatal error : Not started : 1 of these errors would let others do what they shall not\n";
    assert!(said.ends_with(end), "{said}");
}

#[test]
fn another_daemons_file_is_named_in_chronys_place_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.conf");
    let path = file.to_str().unwrap();
    for (text, looks_like, dialect) in [
        (
            "server a\nrestrict default ignore\ntinker step 1\n",
            "an ntp.conf",
            "ntpd",
        ),
        (
            "server a\nservers b\nlisten on *\n",
            "an ntpd.conf of OpenNTPD",
            "openntpd",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let hint = format!(
            "\n{path}: this looks like {looks_like}\n  help: say --dialect {dialect} to timeballd or timeball config\n"
        );
        for (name, arguments) in [
            ("chronyd", &["-p", "-f", path][..]),
            ("chronyd", &["-d", "-x", "-U", "-f", path]),
            ("timeballd", &["-p", "--dialect", "chrony", "-f", path]),
            (
                "timeballd",
                &["-d", "-x", "-U", "--dialect", "chrony", "-f", path],
            ),
        ] {
            let (status, _, error) = run(name, arguments);
            assert_eq!(status, 1, "{error}");
            // chronyd's own words stand last.
            let (_, last) = error.split_once(&hint).unwrap_or_else(|| panic!("{error}"));
            assert!(
                last.starts_with("Fatal error : Invalid directive ") && last.lines().count() == 1,
                "{error}"
            );
        }
    }
    fs::write(&file, "server a\nmakstep 1 3\n").unwrap();
    let (_, _, error) = run("chronyd", &["-p", "-f", path]);
    assert!(!error.contains("looks like"), "{error}");
}

#[test]
fn a_mistake_in_openntpds_file_does_not_make_it_another_daemons() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ntpd.conf");
    let path = file.to_str().unwrap();
    for (text, status, said) in [
        (
            "server a weight 11\n",
            1,
            "FILE:1: weight must be between 1 and 10\n",
        ),
        ("servres pool.ntp.org\n", 1, "FILE:1: syntax error\n"),
        ("server x iburst\n", 1, "FILE:1: syntax error\n"),
        ("", 0, "configuration OK\n"),
        ("# nothing yet\n", 0, "configuration OK\n"),
    ] {
        fs::write(&file, text).unwrap();
        let (ended, _, error) = run("ntpd", &["-n", "-f", path]);
        assert_eq!(
            (ended, error.replace(path, "FILE").as_str()),
            (status, said),
            "{text:?}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    let (status, _, error) = run("ntpd", &["-n", "-f", "/nowhere/ntpd.conf"]);
    let said = "/nowhere/ntpd.conf: No such file or directory\n";
    assert_eq!((status, error.as_str()), (1, said));
    // Another daemon's file is none of its, and it says whose it is.
    fs::write(&file, "driftfile /d\nserver a iburst\nmakestep 1 3\nrtcsync\n").unwrap();
    let (status, _, error) = run("ntpd", &["-n", "-f", path]);
    assert_eq!(status, 1, "{error}");
    assert!(error.contains("this looks like a chrony.conf"), "{error}");
}

#[test]
fn the_file_that_the_environment_names_is_read_in_the_language_of_the_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ntpd.conf");
    fs::write(&file, "server a wieght 3\n").unwrap();
    let program = folder.path().join("ntpd");
    symlink(env!("CARGO_BIN_EXE_timeballd"), &program).unwrap();
    let output = Command::new(&program)
        .args(["-v", "-d", "-s", "-n"])
        .env("NTP_CONF_FILE", &file)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, format!("{}:1: syntax error\n", file.display()));
}

#[test]
fn a_configuration_is_not_taken_for_a_drift_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ntp.conf");
    let path = file.to_str().unwrap();
    let text = "disable ntp\nserver 127.0.0.1 iburst\n";
    fs::write(&file, text).unwrap();
    // -g is none of OpenNTPD's options.
    let (status, _, error) = run("ntpd", &["-n", "-g", "-q", "-c", path, "-f", path]);
    let expected = format!("ERR: Option -f : {path} is no drift file, and would be lost as one (-c names");
    assert!(error.contains(&expected), "{error}");
    assert_eq!(status, 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn the_language_can_be_said_under_its_own_name_only() {
    let (status, _, said) = run("timeballd", &["--dialect", "ntp", "-p"]);
    let expected = "Fatal error : unknown dialect ntp; it is one of chrony, ntpd and openntpd\n";
    assert_eq!((status, said.as_str()), (1, expected));
    let (status, _, said) = run("chronyd", &["--dialect", "ntpd", "-p"]);
    assert_eq!((status, said.as_str()), (1, "chronyd: invalid option -- '-'\n"));
}
