//! The manual page timeball.yaml(5), printed from the table of settings.

use std::fmt::Write as _;

use crate::settings::table::KEYS;

/// The page in roff.
pub(crate) fn page() -> String {
    let mut page = format!(
        ".TH timeball.yaml 5 \"\" \"timeball {}\"\n\
         .SH NAME\n\
         timeball.yaml \\- settings of timeball\n\
         .SH DESCRIPTION\n\
         The file is the one named by \\fB\\-\\-config\\fR, else by \\fBTIMEBALL_CONFIG\\fR, else\n\
         $XDG_CONFIG_HOME/timeball/timeball.yaml, else /etc/timeball/timeball.yaml.\n\
         Variables of the environment win over it, and flags win over both.\n\
         The dots in the names below stand for nesting.\n\
         .SH SETTINGS\n",
        env!("CARGO_PKG_VERSION")
    );
    for key in KEYS {
        let _ = writeln!(page, ".TP\n\\fB{}\\fR ({})", escaped(key.path), key.form.words());
        let _ = writeln!(page, "{}", escaped(key.about));
        let _ = writeln!(page, "Default: {}.", escaped(key.default));
        if let Some(env) = key.env {
            let _ = writeln!(page, "Environment: \\fB{env}\\fR.");
        }
        if let Some(alias) = key.alias {
            let _ = writeln!(page, "Also accepted: \\fB{}\\fR.", escaped(alias));
        }
    }
    page
}

/// Text in roff: backslashes and hyphens as themselves, code in bold, and no line that begins a request.
fn escaped(text: &str) -> String {
    let mut bold = false;
    let mut roff = String::new();
    for c in text.chars() {
        match c {
            '\\' => roff.push_str("\\e"),
            '-' => roff.push_str("\\-"),
            '`' => {
                bold = !bold;
                roff.push_str(if bold { "\\fB" } else { "\\fR" });
            }
            _ => roff.push(c),
        }
    }
    if roff.starts_with(['.', '\'']) {
        format!("\\&{roff}")
    } else {
        roff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roff_is_escaped() {
        assert_eq!(escaped("`a-b` \\"), "\\fBa\\-b\\fR \\e");
        assert_eq!(escaped(".x"), "\\&.x");
        assert!(page().contains("\\fBclient.url\\fR (text)"));
    }
}
