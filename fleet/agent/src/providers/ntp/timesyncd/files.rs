//! timesyncd.conf and its drop-ins, as systemd reads them (systemd.syntax(7), timesyncd.conf(5)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::host::Host;
use crate::providers::ntp::managed::Other;

/// Where systemd looks for its files, the directory that wins first, beside that of the configuration.
const DIRECTORIES: [&str; 3] = ["/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// One assignment of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Assignment {
    file: PathBuf,
    line: usize,
    /// Without any the servers of all assignments before are taken away.
    servers: Vec<String>,
}

/// What the files say of servers, in the order in which it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::providers::ntp) struct Files {
    assignments: Vec<Assignment>,
}

/// The directory of drop-ins of a configuration.
pub(super) fn drop_ins(config: &Path) -> PathBuf {
    let mut name = config.as_os_str().to_owned();
    name.push(".d");
    PathBuf::from(name)
}

impl Files {
    /// Reads the configuration, and then the drop-ins by name; of several with one name only the first directory's counts.
    pub(super) fn read(host: &dyn Host, config: &Path) -> Self {
        let name = config.file_name().unwrap_or_default();
        let elsewhere = DIRECTORIES.map(|directory| Path::new(directory).join(name));
        let all: Vec<&Path> = std::iter::once(config)
            .chain(elsewhere.iter().map(PathBuf::as_path))
            .collect();
        let main = all.iter().copied().find(|path| host.kind(path).is_ok());
        let mut drop_in_files: BTreeMap<String, PathBuf> = BTreeMap::new();
        for directory in all.iter().map(|path| drop_ins(path)) {
            let mut names = host.list(&directory).unwrap_or_default();
            names.retain(|name| name.ends_with(".conf") && !name.starts_with('.'));
            for name in names {
                let path = directory.join(&name);
                drop_in_files.entry(name).or_insert(path);
            }
        }
        let mut files = Files::default();
        for path in main
            .map(Path::to_owned)
            .into_iter()
            .chain(drop_in_files.into_values())
        {
            let content = host.read(&path).unwrap_or_default();
            for (line, servers) in assignments(&String::from_utf8_lossy(&content)) {
                let file = path.clone();
                files.assignments.push(Assignment { file, line, servers });
            }
        }
        files
    }

    /// The servers that other files than `own` name and that count, when `own` is there and takes away those of the files
    /// before it, or when it is not.
    pub(super) fn others(&self, own: &Path, own_is_there: bool) -> Vec<Other> {
        let mut others = Vec::new();
        let mut own_is_to_come = own_is_there;
        for assignment in &self.assignments {
            let is_own = assignment.file == own;
            if own_is_to_come && (is_own || comes_after(&assignment.file, own)) {
                others.clear();
                own_is_to_come = false;
            }
            if is_own {
                continue;
            }
            if assignment.servers.is_empty() {
                others.clear();
            }
            others.extend(assignment.servers.iter().map(|name| Other {
                name: name.clone(),
                text: name.clone(),
                place: format!("{}:{}", assignment.file.display(), assignment.line),
            }));
        }
        if own_is_to_come {
            others.clear();
        }
        others
    }

    /// Where servers are taken away that a file of this path would name.
    pub(super) fn clears_after(&self, own: &Path) -> Option<String> {
        let after = self
            .assignments
            .iter()
            .find(|assignment| comes_after(&assignment.file, own) && assignment.servers.is_empty());
        after.map(|assignment| format!("{}:{}", assignment.file.display(), assignment.line))
    }
}

/// Whether a file is a drop-in that is read after another one.
fn comes_after(file: &Path, own: &Path) -> bool {
    let directory = file.parent().and_then(Path::extension);
    directory.is_some_and(|ending| ending == "d") && file.file_name() > own.file_name()
}

/// The servers that count in the end, of one text.
pub(super) fn servers_of(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (_, servers) in assignments(text) {
        if servers.is_empty() {
            all.clear();
        }
        all.extend(servers);
    }
    all
}

/// The assignments `NTP=` in the section `[Time]` with the numbers of their lines.
fn assignments(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut is_time = false;
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut whole = line.trim().to_owned();
        if whole.is_empty() || whole.starts_with(['#', ';']) {
            continue;
        }
        // A line that ends in a backslash goes on; comments in between are left out.
        while whole.ends_with('\\') {
            whole.pop();
            whole.push(' ');
            match lines.next() {
                Some((_, more)) if more.trim_start().starts_with(['#', ';']) => whole.push('\\'),
                Some((_, more)) => whole.push_str(more.trim()),
                None => {}
            }
        }
        if let Some(section) = whole.strip_prefix('[') {
            is_time = section.trim_end().trim_end_matches(']') == "Time";
        } else if is_time
            && let Some((key, value)) = whole.split_once('=')
            && key.trim_end() == "NTP"
        {
            let servers = value.split_ascii_whitespace().map(str::to_owned).collect();
            found.push((at + 1, servers));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SimulatedHost;

    const CONFIG: &str = "/etc/systemd/timesyncd.conf";

    fn names(others: &[Other]) -> Vec<String> {
        others
            .iter()
            .map(|other| format!("{} {}", other.name, other.place))
            .collect()
    }

    #[test]
    fn files_are_read_as_systemd_reads_them() {
        for (text, expected) in [
            ("[Time]\nNTP=a b\nNTP=c\n", vec!["a", "b", "c"]),
            ("[Time]\nNTP=a\nNTP=\nNTP=b\n", vec!["b"]),
            ("[Time]\n#NTP=a\n; NTP=b\nNTP = c \\\n# x\n d\n", vec!["c", "d"]),
            ("NTP=a\n[Other]\nNTP=b\n[Time]\nFallbackNTP=c\nNTP=d\\", vec!["d"]),
            ("", vec![]),
        ] {
            assert_eq!(servers_of(text), expected, "{text}");
        }
    }

    #[test]
    fn later_files_count_more_and_the_first_directory_of_one_name() {
        let host = SimulatedHost::new("", "h");
        host.write(CONFIG, "[Time]\nNTP=main\n");
        host.write("/usr/lib/systemd/timesyncd.conf.d/a.conf", "[Time]\nNTP=lib-a\n");
        host.write("/etc/systemd/timesyncd.conf.d/b.conf", "[Time]\nNTP=etc-b\n");
        host.write("/usr/lib/systemd/timesyncd.conf.d/b.conf", "[Time]\nNTP=lib-b\n");
        let own = Path::new("/etc/systemd/timesyncd.conf.d/timeball.conf");
        let read = || Files::read(&host, Path::new(CONFIG));
        assert_eq!(
            names(&read().others(own, false)),
            [
                "main /etc/systemd/timesyncd.conf:2",
                "lib-a /usr/lib/systemd/timesyncd.conf.d/a.conf:2",
                "etc-b /etc/systemd/timesyncd.conf.d/b.conf:2",
            ]
        );
        assert_eq!(read().clears_after(own), None);
        host.write(own, "[Time]\nNTP=\nNTP=x y\n");
        assert!(read().others(own, true).is_empty());
        host.write("/run/systemd/timesyncd.conf.d/z.conf", "[Time]\nNTP=z\n");
        assert_eq!(
            names(&read().others(own, true)),
            ["z /run/systemd/timesyncd.conf.d/z.conf:2"]
        );
        host.write("/run/systemd/timesyncd.conf.d/z.conf", "[Time]\nNTP=\n");
        assert_eq!(
            read().clears_after(own).as_deref(),
            Some("/run/systemd/timesyncd.conf.d/z.conf:2")
        );
    }
}
