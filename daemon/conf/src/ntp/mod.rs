//! ntpd's configuration language, ntp.conf: that of NTPsec 1.2, with what the classic ntpd 4.2.8 has beside it.
//!
//! [`parse()`] reads a configuration as ntpd does, and [`explain`] also tells what becomes of each line. [`write()`]
//! writes a configuration in this language.
//! [`DIRECTIVES`] is the table of what timeballd does with each directive. [`parse_keys`] reads a key file.
//!
//! ntpd skips what it cannot read and starts. So does timeballd, but not where the line is about who may do what: then
//! it does not start, because without the line others could do more than was meant.

mod directives;
mod keys;
mod lexer;
mod parse;
mod write;

pub use directives::{DIRECTIVES, Directive, Support};
pub use keys::parse_keys;
pub use parse::{explain, explain_with, parse};
pub use write::write;
