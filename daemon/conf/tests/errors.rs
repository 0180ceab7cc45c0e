//! Every error, with its text and its place.

use conf::chrony::{parse, parse_arguments};

mod files;

use files::{Files, MAIN, check};

#[test]
fn every_error_has_the_text_of_chronyd_and_its_place() {
    for (text, expected) in [
        // Whole lines.
        ("foo 1", "E 1:1 Invalid directive foo at line 1 in file /main"),
        (
            "\n port",
            "E 2:7 Missing arguments for port directive at line 2 in file /main",
        ),
        (
            "port 1 # x",
            "E 1:8 Too many arguments for port directive at line 1 in file /main",
        ),
        (
            "rtcsync # x",
            "E 1:9 Too many arguments for rtcsync directive at line 1 in file /main",
        ),
        (
            "driftfile",
            "E 1:11 Could not parse driftfile directive at line 1 in file /main",
        ),
        (
            "port\0 1",
            "E 1:1 the line has a NUL character at line 1 in file /main",
        ),
        (
            "keyfile /k\u{fffd}",
            "E 1:9 Could not parse keyfile directive at line 1 in file /main",
        ),
        (
            "foo \u{fffd}",
            "E 1:1 Invalid directive foo at line 1 in file /main",
        ),
        // Integers and numbers.
        (
            "port 99999",
            "E 1:6 Invalid value 99999 in port directive (min 0, max 65535) at line 1 in file /main",
        ),
        (
            "minsources 0",
            "E 1:12 Invalid value 0 in minsources directive (min 1, max 2147483647) at line 1 in file /main",
        ),
        (
            "port x",
            "E 1:6 Could not parse port directive at line 1 in file /main",
        ),
        (
            "maxdistance x",
            "E 1:13 Could not parse maxdistance directive at line 1 in file /main",
        ),
        (
            "maxdistance nan",
            "W 1:13 maxdistance directive has no effect at line 1 in file /main",
        ),
        (
            "maxdistance 3s",
            "W 1:13 s after the number is not read at line 1 in file /main",
        ),
        (
            "maxdistance -1",
            "W 1:13 -1 is out of range at line 1 in file /main",
        ),
        (
            "clientloglimit 5k",
            "W 1:16 k after the integer is not read at line 1 in file /main",
        ),
        (
            "clientloglimit k",
            "E 1:16 Could not parse clientloglimit directive at line 1 in file /main",
        ),
        // Sources.
        (
            "server",
            "E 1:8 Invalid syntax for server directive at line 1 in file /main",
        ),
        (
            "server a mipoll 3",
            "E 1:10 Invalid option in server directive at line 1 in file /main",
        ),
        (
            "pool a minpoll 3 # x",
            "E 1:18 Invalid option in pool directive at line 1 in file /main",
        ),
        (
            "server a minpoll x",
            "E 1:18 Invalid value in server directive at line 1 in file /main",
        ),
        (
            "server a minpoll",
            "E 1:18 Invalid value in server directive at line 1 in file /main",
        ),
        (
            "server a minpoll 3.5",
            "E 1:18 Invalid option in server directive at line 1 in file /main",
        ),
        (
            "server a maxdelay 1s",
            "E 1:19 Invalid option in server directive at line 1 in file /main",
        ),
        (
            "peer a port 65536",
            "E 1:13 Invalid value in peer directive at line 1 in file /main",
        ),
        (
            "server a extfield 1",
            "E 1:19 Invalid value in server directive at line 1 in file /main",
        ),
        (
            "server a minpoll 30",
            "W 1:18 option minpoll has a value out of the range -7 to 24 at line 1 in file /main",
        ),
        (
            "peer a iburst",
            "W 1:8 option iburst has no effect on a peer at line 1 in file /main",
        ),
        (
            "pool a iburst extfield F323",
            "W 1:15 extfield option in pool directive is not supported at line 1 in file /main",
        ),
        (
            "log tracking tempcomp",
            "W 1:14 tempcomp option in log directive is not supported at line 1 in file /main",
        ),
        (
            "server a nts",
            "E 1:10 nts option in server directive is not supported at line 1 in file /main",
        ),
        // Forms of their own.
        (
            "allow 1.2.3.4 x",
            "E 1:15 Could not parse allow directive at line 1 in file /main",
        ),
        (
            "cmddeny 1.2.3.4/x",
            "E 1:9 Could not parse cmddeny directive at line 1 in file /main",
        ),
        (
            "allow ALL",
            "E 1:7 Could not parse allow directive at line 1 in file /main",
        ),
        (
            "deny 2001:db8::g",
            "E 1:6 Could not parse deny directive at line 1 in file /main",
        ),
        (
            "cmddeny all 1::2::3",
            "E 1:13 Could not parse cmddeny directive at line 1 in file /main",
        ),
        (
            "local foo",
            "E 1:7 Invalid option in local directive at line 1 in file /main",
        ),
        (
            "local stratum 16",
            "E 1:15 Invalid value in local directive at line 1 in file /main",
        ),
        (
            "local orphan distance",
            "E 1:23 Invalid value in local directive at line 1 in file /main",
        ),
        (
            "log tracking foo",
            "E 1:14 Invalid log parameter at line 1 in file /main",
        ),
        (
            "ratelimit kod x",
            "E 1:15 Could not parse ratelimit directive at line 1 in file /main",
        ),
        (
            "cmdratelimit kod 1",
            "E 1:14 Could not parse cmdratelimit directive at line 1 in file /main",
        ),
        (
            "ratelimit leak 9",
            "W 1:16 leak 9 is out of range at line 1 in file /main",
        ),
        (
            "leapsecmode foo",
            "E 1:13 Could not parse leapsecmode directive at line 1 in file /main",
        ),
        (
            "authselectmode foo",
            "E 1:16 Could not parse authselectmode directive at line 1 in file /main",
        ),
        (
            "bindaddress foo",
            "E 1:13 Could not parse bindaddress directive at line 1 in file /main",
        ),
        (
            "bindcmdaddress foo",
            "E 1:16 Could not parse bindcmdaddress directive at line 1 in file /main",
        ),
        (
            "makestep 1 x",
            "E 1:12 Could not parse makestep directive at line 1 in file /main",
        ),
        (
            "maxchange 1 x 2",
            "E 1:13 Could not parse maxchange directive at line 1 in file /main",
        ),
        (
            "initstepslew x",
            "E 1:14 Could not parse initstepslew directive at line 1 in file /main",
        ),
        (
            "smoothtime 1 2 x",
            "E 1:16 Could not parse smoothtime directive at line 1 in file /main",
        ),
        (
            "driftfile /x every 5",
            "E 1:14 Could not parse driftfile directive at line 1 in file /main",
        ),
        (
            "broadcast 0 192.0.2.1",
            "E 1:11 Could not parse broadcast directive at line 1 in file /main",
        ),
        (
            "opencommands foo",
            "E 1:14 Could not parse opencommands directive at line 1 in file /main",
        ),
        (
            "hwtimestamp * rxfilter x",
            "E 1:24 Could not parse hwtimestamp directive at line 1 in file /main",
        ),
        (
            "sourcedir",
            "W 1:1 sourcedir directive has no effect at line 1 in file /main",
        ),
        (
            "timeball.conflict never",
            "E 1:19 Could not parse timeball.conflict directive at line 1 in file /main",
        ),
        (
            "timeball.metrics-address 9123",
            "E 1:26 Could not parse timeball.metrics-address directive at line 1 in file /main",
        ),
        (
            "timeball.constraint http://a/",
            "E 1:21 Could not parse timeball.constraint directive at line 1 in file /main",
        ),
        (
            "timeball.constraint https://a/ b",
            "E 1:32 Could not parse timeball.constraint directive at line 1 in file /main",
        ),
        // Files.
        (
            "include /none",
            "E 1:9 Could not open /none : No such file or directory",
        ),
        ("include /main", "E 1:9 Maximum include level reached"),
        (
            "confdir",
            "E 1:9 Could not parse confdir directive at line 1 in file /main",
        ),
        // Set up.
        ("allow 1.2.3/33", "E 1:7 Bad subnet in 1.2.3.0/33"),
        (
            "noclientlog\nratelimit",
            "E 2:1 Rate limiting cannot be enabled with noclientlog",
        ),
        (
            "cmdratelimit\nnoclientlog",
            "E 1:1 Rate limiting cannot be enabled with noclientlog",
        ),
        // What is no longer, or not yet, done.
        (
            "commandkey 1",
            "W 1:1 commandkey directive is no longer supported",
        ),
        (
            "minsamples 32",
            "W 1:1 minsamples directive is not supported at line 1 in file /main",
        ),
        (
            "server 0.0.0.0",
            "W 1:8 no host has the address 0.0.0.0 at line 1 in file /main",
        ),
        (
            "peer ff02::1 prefer",
            "W 1:6 no host has the address ff02::1 at line 1 in file /main",
        ),
        (
            "server a minsamples 32",
            "W 1:10 minsamples option in server directive is not supported at line 1 in file /main",
        ),
        (
            "refclock SHM 0 minsamples 32",
            "W 1:16 refclock option minsamples is not supported at line 1 in file /main",
        ),
        (
            "hwtimestamp *",
            "W 1:1 hwtimestamp directive is not supported at line 1 in file /main",
        ),
        (
            "mailonchange root 1",
            "W 1:1 mailonchange directive is not supported at line 1 in file /main",
        ),
        (
            "refclock PPS /dev/pps0",
            "E 1:10 refclock driver PPS is not compiled in",
        ),
        (
            "ptpport 319",
            "E 1:1 ptpport directive is not supported at line 1 in file /main",
        ),
        (
            "timeball.server-threads 2",
            "E 1:1 timeball.server-threads directive is not supported at line 1 in file /main",
        ),
    ] {
        assert_eq!(check(text).1, [expected], "{text}");
    }
}

#[test]
fn an_error_in_another_file_is_cited_there_with_a_caret() {
    let files = Files::new([(MAIN, "port 1\ninclude /b"), ("/b", "\n  makestep 1 x\n")]);
    let (_, diagnostics) = parse(MAIN, &files);
    assert_eq!(
        diagnostics[0].to_string(),
        "/b:2:14: Could not parse makestep directive\n    makestep 1 x\n               ^\n  help: it takes an integer"
    );
    assert_eq!(
        diagnostics[0].as_original(),
        "Could not parse makestep directive at line 2 in file /b"
    );
}

#[test]
fn the_help_for_an_unknown_directive_is_the_one_that_was_meant() {
    for (text, help) in [
        ("driftfle /x", "did you mean \"driftfile\"?"),
        ("SEVRER a", "did you mean \"server\"?"),
        ("alow", "did you mean \"allow\"?"),
        ("timeball.conflct fail", "did you mean \"timeball.conflict\"?"),
        ("lalwo", "directives are listed in chrony.conf(5)"),
        ("foo", "directives are listed in chrony.conf(5)"),
    ] {
        let files = Files::new([(MAIN, text)]);
        let (_, diagnostics) = parse(MAIN, &files);
        assert_eq!(diagnostics[0].help.as_deref(), Some(help), "{text}");
    }
}

#[test]
fn a_directive_without_effect_is_said_before_it_is_left_out() {
    assert_eq!(
        check("mailonchange root nan").1,
        [
            "W 1:19 mailonchange directive has no effect at line 1 in file /main",
            "W 1:1 mailonchange directive is not supported at line 1 in file /main",
        ]
    );
    assert_eq!(
        check("fallbackdrift 2 1").1,
        ["W 1:15 fallbackdrift directive has no effect at line 1 in file /main"]
    );
}

#[test]
fn what_cannot_be_set_up_comes_last_and_in_the_order_of_chronyd() {
    let text = "ratelimit\nallow 1.2.3.4/300\nrtcfile /x\nrtcsync\nnoclientlog\nfoo";
    assert_eq!(
        check(text).1,
        [
            "E 6:1 Invalid directive foo at line 6 in file /main",
            "E 3:1 rtcfile directive cannot be used with rtcsync",
            "E 2:7 Bad subnet in 1.2.3.4/300",
            "E 1:1 Rate limiting cannot be enabled with noclientlog",
        ]
    );
}

#[test]
fn no_number_of_warnings_stops_reading_and_enough_errors_do() {
    // As far as chronyd is concerned nothing is wrong with the first.
    let warned = "maxclockerror 1e15\n".repeat(5000);
    let (config, said) = check(&format!("{warned}port 1\nfoo\n"));
    assert_eq!(config.server.port, 1);
    assert_eq!(said.len(), 1002);
    let errors = said.iter().filter(|said| said.starts_with('E'));
    assert_eq!(
        errors.collect::<Vec<_>>(),
        ["E 5002:1 Invalid directive foo at line 5002 in file /main"]
    );
    assert_eq!(
        said[1001],
        "W 0:1 4000 more warnings are not shown, in all files together"
    );
    let (config, said) = check(&format!("{}port 1\n", "foo\n".repeat(5000)));
    assert_ne!(config.server.port, 1);
    assert_eq!(said.len(), 1000);
    assert_eq!(said[999], "E 0:1 too much is wrong; the rest is not read");
}

#[test]
fn errors_of_arguments_have_a_line_and_no_file() {
    let lines = ["port 1".to_owned(), "foo".to_owned()];
    let (config, diagnostics) = parse_arguments(&lines, &Files::new([]));
    assert_eq!(config.server.port, 1);
    assert_eq!(diagnostics[0].as_original(), "Invalid directive foo at line 2");
    assert!(
        diagnostics[0]
            .to_string()
            .starts_with("arguments:2:1: Invalid directive foo\n")
    );
}
