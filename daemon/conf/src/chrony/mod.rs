//! chrony's configuration language: what it says about time sources, and how to say it.
//!
//! [`scan`] follows a configuration through `include`, `confdir` and `sourcedir` and returns a
//! [`ChronyConf`]. [`Source`] is one source with its [`SourceOptions`]; it parses from a line,
//! renders to one, and cannot hold anything that would be more than one line.
//! [`render_sources`] writes a file for a `sourcedir` directory, and [`place`] says which directory
//! that can be.

mod directives;
mod host_name;
mod options;
mod place;
mod render;
mod scan;
mod source;
mod words;

pub use directives::{DIRECTIVES, Directive, Standing};
pub use host_name::{HostName, HostNameError};
pub use options::{RawOption, RawOptionError, SourceOptions};
pub use place::{NoDirectory, Placement, place};
pub use render::render_sources;
pub use scan::{ChronyConf, CommandSocket, ConfiguredSource, Directory, Origin, OtherDirective, Via, scan};
pub use source::{Source, SourceError, SourceKind};
