//! What the operator reads: tables, facts, JSON or YAML.

pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod time;

mod document;

use clap::ValueEnum;
use serde::de::DeserializeOwned;

use crate::ending::Failure;
use crate::print::document::Document;
use crate::print::screen::Screen;
use crate::text;

/// How answers are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    #[default]
    Table,
    /// The table with every column.
    Wide,
    /// The API's answer, unchanged.
    Json,
    /// The API's answer as YAML.
    Yaml,
}

/// Shows answers in the format that was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Printer {
    format: Format,
    screen: Screen,
}

impl Printer {
    /// Makes a printer for stdout.
    pub(crate) fn new(format: Format) -> Self {
        Printer {
            format,
            screen: Screen::of_stdout(),
        }
    }

    /// What stdout is.
    pub(crate) fn screen(self) -> Screen {
        self.screen
    }

    /// Says whether every column is wanted.
    pub(crate) fn wide(self) -> bool {
        self.format == Format::Wide
    }

    /// Shows an answer: as the API gave it for `json` and `yaml`, otherwise as `page` writes it.
    pub(crate) fn show<T: DeserializeOwned>(
        self,
        body: &[u8],
        page: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.json(body),
            Format::Yaml => self.yaml(body),
            Format::Table | Format::Wide => self.screen.write(&page(&decode(body)?)),
        }
    }

    /// Shows a refusal of the API as the API gave it, where a program asked for `json` or `yaml`; people read its text.
    pub(crate) fn show_refusal<T>(self, answered: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(Failure::RefusedByApi { body, .. }) = &answered {
            match self.format {
                Format::Json => self.json(body)?,
                Format::Yaml => self.yaml(body)?,
                Format::Table | Format::Wide => {}
            }
        }
        answered
    }

    /// Says whether programs read the output, so that nothing else may be in it.
    pub(crate) fn is_for_programs(self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml)
    }

    fn json(self, body: &[u8]) -> Result<(), Failure> {
        let _: serde::de::IgnoredAny = decode(body)?;
        let body = std::str::from_utf8(body).map_err(|_| not_understood("it is not UTF-8"))?;
        // Some control characters may stand in JSON as they are, and a terminal would act on them.
        if self.screen.is_terminal() {
            self.screen.write(&(text::json(body) + "\n"))
        } else {
            self.screen.write(&format!("{body}\n"))
        }
    }

    fn yaml(self, body: &[u8]) -> Result<(), Failure> {
        let document: Document = decode(body)?;
        let page = serde_saphyr::to_string(&document).map_err(|error| not_understood(&error.to_string()))?;
        if self.screen.is_terminal() {
            self.screen.write(&text::lines(&page))
        } else {
            self.screen.write(&page)
        }
    }
}

/// Reads an answer's body.
///
/// # Errors
/// [`Failure::Refused`] naming the field that is not as the contract says.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| not_understood(&error.to_string()))
}

fn not_understood(why: &str) -> Failure {
    Failure::new(format!(
        "the answer is not understood: {}; is this a timeball controller, and not newer than this program?",
        text::line(&text::cut(why, 300))
    ))
}
