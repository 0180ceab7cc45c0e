//! chrony's configuration language: what it says about time sources, and how to say it.
//!
//! [`parse()`] reads a configuration as the daemon does, [`print()`] writes its lines as `chronyd -p` does, and [`write()`]
//! writes a [`crate::config::Config`], whatever language it was read from.
//! [`DIRECTIVES`] is the table of what chrony and timeballd do with each directive.
//! [`parse_keys`] reads a key file.
//!
//! For the program that configures other people's daemons, [`scan`] follows a configuration through `include`, `confdir` and `sourcedir` and returns a
//! [`ChronyConf`]. [`Source`] is one source with its [`SourceOptions`]; it parses from a line,
//! renders to one, and cannot hold anything that would be more than one line.
//! [`render_sources`] writes a file for a `sourcedir` directory, and [`place`] says which directory
//! that can be.

mod directives;
mod explain;
mod host_name;
mod keys;
mod numbers;
mod options;
mod parse;
mod place;
mod print;
mod render;
mod scan;
mod source;
mod walk;
mod words;
mod write;

pub use directives::{Argument, DIRECTIVES, Directive, EXTENSIONS, Standing, Support};
pub use explain::explain;
pub use host_name::{HostName, HostNameError};
pub use keys::{Key, KeyAlgorithm, parse_keys};
pub use options::{RawOption, RawOptionError, SourceOptions};
pub(crate) use parse::name_of_rule;
pub use parse::{parse, parse_arguments, parse_source_file, read_source_dirs};
pub use place::{NoDirectory, Placement, is_persistent, place};
pub use print::{print, print_arguments};
pub use render::render_sources;
pub use scan::{ChronyConf, CommandSocket, ConfiguredSource, Directory, Origin, OtherDirective, Via, scan};
pub use source::{Source, SourceError, SourceKind};
pub use write::write;
pub(crate) use write::{constraint_line, source_line};
