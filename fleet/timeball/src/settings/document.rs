//! `docs/settings.md`, printed from the table of settings.

use std::fmt::Write as _;

use crate::settings::table::{KEYS, Key};

/// The document's text.
fn markdown() -> String {
    let mut page = String::from(
        "# Settings\n\
         \n\
         <!-- Printed from the table in fleet/timeball/src/settings/table.rs by a test; edit that. -->\n\
         \n\
         A program's own start is set by `timeball.yaml`, by variables of the environment, which win over the\n\
         file, and by flags, which win over both.\n\
         \n\
         The file is the one named by `--config`, else by `TIMEBALL_CONFIG`, else\n\
         `$XDG_CONFIG_HOME/timeball/timeball.yaml` (`~/.config/timeball/timeball.yaml`), else\n\
         `/etc/timeball/timeball.yaml`; the first that exists is read, no others. Unknown keys are errors.\n\
         Relative paths in it start at its directory.\n\
         \n\
         ```yaml\n\
         client:\n\
         \x20 url: https://time.example.com:8080\n\
         \x20 token_file: token\n\
         \x20 ca_fingerprint: SHA256:4b0a…\n\
         controller:\n\
         \x20 api:\n\
         \x20   listen: 0.0.0.0:8080\n\
         \x20   job_timeout: 30s\n\
         \x20   security:\n\
         \x20     roles:\n\
         \x20       oncall:\n\
         \x20         permissions: [ntp:read, agent:read, job:read]\n\
         agent:\n\
         \x20 controller: time.example.com:8443\n\
         \x20 labels:\n\
         \x20   group: web.eu\n\
         ```\n",
    );
    for group in ["client", "controller", "agent"] {
        let _ = write!(page, "\n## `{group}:`\n\n");
        for key in KEYS.iter().filter(|key| group_of(key) == group) {
            let _ = writeln!(page, "### `{}`\n", key.path);
            let _ = writeln!(page, "{}\n", key.about);
            let _ = writeln!(page, "- Form: {}", key.form.words());
            let _ = writeln!(page, "- Default: {}", key.default);
            if let Some(env) = key.env {
                let _ = writeln!(page, "- Environment: `{env}`");
            }
            if let Some(alias) = key.alias {
                let _ = writeln!(page, "- Also accepted: `{alias}`");
            }
            page.push('\n');
        }
        while page.ends_with("\n\n") {
            page.pop();
        }
    }
    page.push_str(
        "\n## Only in the environment\n\
         \n\
         - `TIMEBALL_CONFIG`: the settings file.\n\
         - `RUST_LOG`: what controller and agent log, as `--log-level`.\n\
         - `NO_COLOR`: no colours on a terminal.\n",
    );
    page
}

/// The section a key is shown in.
fn group_of(key: &Key) -> &'static str {
    if key.path.starts_with("client.") || key.path.starts_with("controller.client.") {
        "client"
    } else if key.path.starts_with("controller.") {
        "controller"
    } else {
        "agent"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set `TIMEBALL_BLESS=1` to write the document anew.
    #[test]
    fn the_document_is_the_table() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        if std::env::var_os("TIMEBALL_BLESS").is_some() {
            std::fs::write(file, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            written == markdown(),
            "docs/settings.md is not the table's; run the test with TIMEBALL_BLESS=1"
        );
    }

    #[test]
    fn every_key_is_in_it_once_and_no_variable_could_be_one_that_kubernetes_sets() {
        let page = markdown();
        for key in KEYS {
            assert_eq!(
                page.matches(&format!("### `{}`", key.path)).count(),
                1,
                "{}",
                key.path
            );
            let env = key.env.unwrap_or_default();
            // A service named timeball… puts TIMEBALL…_PORT and TIMEBALL…_SERVICE_HOST into every pod.
            assert!(
                !env.ends_with("_PORT") && !env.ends_with("_SERVICE_HOST"),
                "{env}"
            );
        }
    }
}
