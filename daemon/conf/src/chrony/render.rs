//! Files of time sources, written.

use super::source::Source;

/// The longest line of the header, in characters; far below chrony's limit for a line.
const HEADER_LINE_LENGTH_MAX: usize = 200;

/// Returns the text of a file for a `sourcedir` directory: the header as comments, then one line for
/// each source, in order. Every line ends in a newline, without which chronyd drops it.
///
/// Header text can never become a directive: each line of it is commented, control characters are
/// blanked, and long lines are cut at 200 characters.
pub fn render_sources(header: &[&str], sources: &[Source]) -> String {
    let mut text = String::new();
    for line in header.iter().flat_map(|lines| lines.split('\n')) {
        let line = line.trim_end();
        text.push('#');
        if !line.is_empty() {
            text.push(' ');
        }
        let printable = |character: char| if character.is_control() { ' ' } else { character };
        text.extend(line.chars().take(HEADER_LINE_LENGTH_MAX).map(printable));
        text.push('\n');
    }
    for source in sources {
        text.push_str(&source.render());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chrony::scan;
    use crate::include::tests::Files;

    #[test]
    fn a_file_has_comments_and_one_line_for_each_source() {
        let sources = ["server a iburst", "pool b"].map(|line| line.parse::<Source>().unwrap());
        let text = render_sources(&["Written by timeball.", "", "Two\nlines"], &sources);
        assert_eq!(
            text,
            "# Written by timeball.\n#\n# Two\n# lines\nserver a iburst\npool b\n"
        );
        assert_eq!(render_sources(&[], &[]), "");
    }

    proptest! {
        #[test]
        fn a_header_never_adds_a_source(header in prop::collection::vec(".{0,3000}|(.|\\n|\\r|\\x00){0,40}", 0..4)) {
            let header = header.iter().map(|line| format!("{line}\nserver evil\r\nserver evil"));
            let header = header.collect::<Vec<_>>();
            let header = header.iter().map(String::as_str).collect::<Vec<_>>();
            let source = "server good".parse::<Source>().unwrap();
            let text = render_sources(&header, std::slice::from_ref(&source));
            let files = Files::new(&[("/main", "sourcedir /s\n"), ("/s/a.sources", &text)]);
            let (conf, diagnostics) = scan("/main", &files);
            prop_assert_eq!(diagnostics, vec![]);
            prop_assert_eq!(conf.sources.len(), 1);
            prop_assert_eq!(&conf.sources[0].source, &source);
        }
    }
}
