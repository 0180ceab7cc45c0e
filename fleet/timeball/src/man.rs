//! `timeball man`: the manual pages, one per command and one for the settings file.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};

use crate::cli::Cli;
use crate::ending::{Ending, Failure, Verdict};
use crate::print::screen::Screen;
use crate::settings::manual;

/// Arguments of `timeball man`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "They go into man1 and man5 below the directory.\n\nExample:\n  \
                             timeball man /usr/local/share/man"
)]
pub(crate) struct ManArgs {
    /// Directory for the pages; it is made when missing
    directory: PathBuf,
}

/// Writes the pages.
pub(crate) fn run(args: &ManArgs) -> Ending {
    let directory = &args.directory;
    let failed = |path: &Path, error: &std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    let (commands, files) = (directory.join("man1"), directory.join("man5"));
    for section in [&commands, &files] {
        fs::create_dir_all(section).map_err(|error| failed(section, &error))?;
    }
    let mut root = Cli::command();
    root.build();
    let mut pages = 0_u32;
    for command in with_all_below(&root, "timeball") {
        let path = commands.join(format!("{}.1", command.get_name()));
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        fs::write(&path, page).map_err(|error| failed(&path, &error))?;
        pages += 1;
    }
    let path = files.join("timeball.yaml.5");
    fs::write(&path, manual::page()).map_err(|error| failed(&path, &error))?;
    pages += 1;
    Screen::of_stdout().write(&format!("{pages} pages written to {}\n", directory.display()))?;
    Ok(Verdict::Done)
}

/// A command and everything below it, each named by its whole path: `timeball-client-node`.
fn with_all_below(command: &clap::Command, name: &str) -> Vec<clap::Command> {
    let mut commands = vec![command.clone().name(name.to_owned())];
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        commands.extend(with_all_below(below, &format!("{name}-{}", below.get_name())));
    }
    commands
}
