//! A daemon that believes that it may set the clock, for tests in which none may.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Preloaded into a daemon that may not set the clock, this lets it believe that it may, and ends it when it tries: with the
/// exit status 70.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

int clock_adjtime(clockid_t clock, struct timex *change)
{
    /* What no clock has: whoever may set it is told so. */
    if (change->modes == ADJ_TICK && change->tick == 0) {
        errno = EINVAL;
        return -1;
    }
    if (change->modes != 0) {
        fputs("the clock is written\n", stderr);
        _exit(70);
    }
    return (int)syscall(SYS_clock_adjtime, clock, change);
}
"#;

/// Compiles the library into a directory, and returns where it is.
pub(crate) fn library(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("believes.c"), folder.join("believes.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let status = Command::new("cc")
        .args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .unwrap();
    assert!(status.success(), "the C compiler has failed");
    library
}
