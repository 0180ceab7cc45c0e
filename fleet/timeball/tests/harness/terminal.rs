//! Pseudo-terminals, so that the program believes it talks to a person.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

/// A terminal of so many columns.
pub(crate) struct Terminal {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Terminal {
    /// Makes a terminal.
    pub(crate) fn new(columns: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = open(
            name,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .unwrap();
        // Lines end as they were written.
        let mut modes = tcgetattr(&theirs).unwrap();
        modes.output_modes.remove(OutputModes::OPOST);
        tcsetattr(&theirs, OptionalActions::Now, &modes).unwrap();
        let size = Winsize {
            ws_row: 50,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&theirs, size).unwrap();
        Terminal { ours, theirs }
    }

    /// The program's end.
    pub(crate) fn stdio(&self) -> Stdio {
        Stdio::from(self.theirs.try_clone().unwrap())
    }

    /// Reads all that the program writes until it ends.
    pub(crate) fn read(self) -> JoinHandle<String> {
        drop(self.theirs);
        let mut ours = File::from(self.ours);
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // The kernel says EIO when the last writer is gone.
            let _ = ours.read_to_end(&mut bytes);
            String::from_utf8(bytes).unwrap()
        })
    }
}
