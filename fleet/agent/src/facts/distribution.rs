//! Which distribution the host runs (os-release(5)).

use crate::host::Host;

/// The distribution.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Distribution {
    /// `ID`, such as `rocky`.
    pub(super) id: String,
    /// `debian`, `rhel`, or the id.
    pub(super) family: String,
    /// `VERSION_ID`.
    pub(super) version: String,
}

const DEBIAN: [&str; 3] = ["debian", "ubuntu", "raspbian"];
const RHEL: [&str; 7] = ["rhel", "fedora", "centos", "rocky", "almalinux", "amzn", "ol"];

pub(super) fn read(host: &dyn Host) -> Distribution {
    let own = super::text(host, "/etc/os-release");
    if own.is_empty() {
        parse(&super::text(host, "/usr/lib/os-release"))
    } else {
        parse(&own)
    }
}

fn parse(text: &str) -> Distribution {
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.trim().split_once('='))
            .find(|(found, _)| *found == key)
            .map(|(_, value)| unquoted(value))
            .unwrap_or_default()
    };
    let id = value("ID").to_ascii_lowercase();
    let like = value("ID_LIKE").to_ascii_lowercase();
    let family = family(&id, &like);
    Distribution {
        id,
        family,
        version: value("VERSION_ID"),
    }
}

fn unquoted(value: &str) -> String {
    value.trim().trim_matches(['"', '\'']).to_owned()
}

fn family(id: &str, like: &str) -> String {
    let mut words = std::iter::once(id).chain(like.split_whitespace());
    words
        .find_map(|word| {
            if DEBIAN.contains(&word) {
                Some("debian")
            } else if RHEL.contains(&word) {
                Some("rhel")
            } else {
                None
            }
        })
        .unwrap_or(id)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_follow_from_id_or_what_it_is_like() {
        for (text, id, family) in [
            ("ID=debian\nVERSION_ID=\"12\"\n", "debian", "debian"),
            ("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n", "ubuntu", "debian"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "linuxmint", "debian"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "rocky", "rhel"),
            ("ID=\"ol\"\nID_LIKE=\"fedora\"\n", "ol", "rhel"),
            ("ID=nobara\nID_LIKE='fedora'\n", "nobara", "rhel"),
            ("ID=alpine\n", "alpine", "alpine"),
            (
                "ID=opensuse-leap\nID_LIKE=\"suse opensuse\"",
                "opensuse-leap",
                "opensuse-leap",
            ),
            ("", "", ""),
        ] {
            let found = parse(text);
            assert_eq!((found.id.as_str(), found.family.as_str()), (id, family), "{text}");
        }
        assert_eq!(parse("ID=debian\nVERSION_ID=\"12\"\n").version, "12");
    }
}
