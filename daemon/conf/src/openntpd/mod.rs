//! ntpd.conf, the configuration language of OpenNTPD.
//!
//! [`read()`] reads a file as OpenNTPD does and tells what becomes of each line; [`write()`] writes a
//! configuration in this language. It is that of OpenNTPD 7, of which that of earlier releases is a part. A line of it:
//!
//! ```text
//! servers pool.ntp.org weight 2 trusted
//! ```
//!
//! Words that are not in quotes cannot have a slash, so that a URL needs them; a backslash before the end of a line
//! joins the next one to it; there are no files in files. OpenNTPD never starts with a part of a file: every mistake is
//! an error.

mod lexer;
mod meaning;
mod statement;
mod write;

pub use meaning::read;
pub(crate) use meaning::wrong_lines;
pub use write::write;
