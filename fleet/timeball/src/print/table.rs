//! Tables as the contract has them: indent of two, gap of two, the last column not padded.
//!
//! No table crate is used: they wrap or cut words where this must cut one cell with `…`, pad the last
//! column, and count an escaped cell after cutting it.

use crate::print::screen::{Screen, Tone};
use crate::text;

/// A table under construction.
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One cell: a stranger's text made harmless.
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// What stands in a cell that has nothing to say.
const NOTHING: &str = "-";

impl Cell {
    /// A cell with a tone.
    pub(crate) fn toned(text: &str, tone: Tone) -> Self {
        let mut cell = Cell::from(text);
        cell.tone = tone;
        cell
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        let text = text::line(text);
        Cell {
            text: if text.is_empty() { NOTHING.to_owned() } else { text },
            tone: Tone::Plain,
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::from(text.as_str())
    }
}

impl<T: AsRef<str>> From<Option<T>> for Cell {
    fn from(text: Option<T>) -> Self {
        Cell::from(text.as_ref().map(AsRef::as_ref).unwrap_or_default())
    }
}

/// Narrowest that a column is made on a terminal.
const COLUMN_MIN: usize = 4;
const INDENT: usize = 2;
const GAP: usize = 2;

impl Table {
    /// Starts a table.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Table {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Says whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table; on a terminal no line is wider than it, as far as four columns per cell allow.
    pub(crate) fn render(&self, screen: Screen) -> String {
        let widths = self.widths(screen);
        let mut page = String::new();
        let head: Vec<Cell> = self
            .head
            .iter()
            .map(|head| Cell::toned(head, Tone::Head))
            .collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            page.push_str(&" ".repeat(INDENT));
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let shown = text::cut(&cell.text, *width);
                let missing = width.saturating_sub(text::columns(&shown));
                page.push_str(&cell.tone.paint(&shown, screen.colour));
                if i + 1 < row.len() {
                    page.push_str(&" ".repeat(missing + GAP));
                }
            }
            page.push('\n');
        }
        page
    }

    fn widths(&self, screen: Screen) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|head| text::columns(head)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(text::columns(&cell.text));
            }
        }
        let Some(columns) = screen.columns else {
            return widths;
        };
        let frame = INDENT + GAP * widths.len().saturating_sub(1);
        // The widest column gives way, the rightmost of several.
        while frame + widths.iter().sum::<usize>() > columns {
            match widths.iter_mut().max_by_key(|width| **width) {
                Some(widest) if *widest > COLUMN_MIN => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

/// Writes names and values, the values in one column; values without text are left out.
pub(crate) fn facts(pairs: &[(&str, String)]) -> String {
    let name_columns = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| text::columns(name) + 1)
        .max()
        .unwrap_or(0);
    let mut page = String::new();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let missing = name_columns.saturating_sub(text::columns(name) + 1);
        page.push_str(&format!(
            "  {name}:{} {}\n",
            " ".repeat(missing),
            text::line(value)
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "SERVERS"]);
        table.row(vec!["web-01".into(), "ntp1.example.com, ntp2.example.com".into()]);
        table.row(vec!["größe\x1b".into(), Cell::from(None::<&str>)]);
        table
    }

    #[test]
    fn off_terminal_nothing_is_cut() {
        assert_eq!(
            table().render(Screen::default()),
            "  NAME         SERVERS\n  \
             web-01       ntp1.example.com, ntp2.example.com\n  \
             größe\\u{1b}  -\n"
        );
    }

    #[test]
    fn on_a_terminal_the_widest_column_gives_way() {
        for columns in 14..60 {
            let page = table().render(Screen {
                columns: Some(columns),
                colour: false,
            });
            assert!(page.lines().all(|line| text::columns(line) <= columns), "{page}");
        }
    }

    #[test]
    fn colours_do_not_count_as_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec![Cell::toned("ok", Tone::Good), "x".into()]);
        let page = table.render(Screen {
            columns: Some(80),
            colour: true,
        });
        assert!(page.contains("\u{1b}[32mok\u{1b}[0m  x"), "{page:?}");
    }
}
