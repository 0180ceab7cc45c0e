//! Where output goes: a terminal with its width and colours, or anything else.

use std::io::{self, IsTerminal as _, Write as _};

use crate::ending::Failure;

/// What stdout is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Width in columns; `None` when stdout is no terminal, so that nothing is ever cut.
    pub(crate) columns: Option<usize>,
    /// Whether to use colours.
    pub(crate) colour: bool,
}

impl Screen {
    /// Looks at stdout. Colours are for terminals, unless `NO_COLOR` is set or the terminal is `dumb`.
    pub(crate) fn of_stdout() -> Self {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return Screen::default();
        }
        let columns = rustix::termios::tcgetwinsize(&stdout)
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|columns| *columns > 0);
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Screen {
            columns: Some(columns.unwrap_or(80)),
            colour: !set("NO_COLOR") && !dumb,
        }
    }

    /// Says whether stdout is a terminal.
    pub(crate) fn is_terminal(self) -> bool {
        self.columns.is_some()
    }

    /// Writes text to stdout at once.
    pub(crate) fn write(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
        Ok(())
    }
}

/// How a cell or line is meant to strike the eye.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As any text.
    #[default]
    Plain,
    /// A heading.
    Head,
    /// All is well.
    Good,
    /// Something was changed.
    Changed,
    /// Left out, or worth a look.
    Warn,
    /// Failed.
    Bad,
}

impl Tone {
    /// Paints `text`, whose columns are already right, when colours are wanted.
    pub(crate) fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Tone::Plain => return text.to_owned(),
            Tone::Head => "1",
            Tone::Good => "32",
            Tone::Changed => "36",
            Tone::Warn => "33",
            Tone::Bad => "31",
        };
        if colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
