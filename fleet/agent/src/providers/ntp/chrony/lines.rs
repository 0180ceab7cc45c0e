//! Servers as lines of chrony's language, and back.

use conf::chrony::{HostName, Source, SourceKind, SourceOptions, render_sources};
use model::{Failure, FailureKind, Server, ServerOptions};

use crate::providers::ntp::MANAGED_HEADER;

/// Writes the managed file, and reads it back to see that it says what was meant.
pub(super) fn write(servers: &[Server]) -> Result<String, Failure> {
    let internal = |server: &Server, reason: String| {
        Failure::new(
            FailureKind::Internal,
            format!("cannot write {server} in chrony's language: {reason}"),
        )
    };
    let mut sources = Vec::new();
    for server in servers {
        sources.push(source_of(server).map_err(|reason| internal(server, reason))?);
    }
    let text = render_sources(&[MANAGED_HEADER], &sources);
    let read = read(&text);
    for (i, server) in servers.iter().enumerate() {
        if read.get(i) != sources.get(i) {
            return Err(internal(server, "it reads differently".to_owned()));
        }
    }
    if read.len() == servers.len() {
        Ok(text)
    } else {
        Err(Failure::new(
            FailureKind::Internal,
            "the managed file reads differently from what was meant",
        ))
    }
}

/// The sources of a file for a `sourcedir`, as chronyd takes them: a line it cannot read is skipped, and so
/// is a last line without its end.
pub(super) fn read(text: &str) -> Vec<Source> {
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n')?.parse().ok())
        .collect()
}

fn source_of(server: &Server) -> Result<Source, String> {
    let options = server.options();
    let kind = if options.pool {
        SourceKind::Pool
    } else {
        SourceKind::Server
    };
    let name = HostName::new(server.name()).map_err(|error| error.to_string())?;
    let options = SourceOptions {
        iburst: server.iburst(),
        nts: options.nts,
        prefer: options.prefer,
        trust: options.trust,
        require: options.require,
        noselect: options.noselect,
        xleave: options.xleave,
        minpoll: options.minpoll,
        maxpoll: options.maxpoll,
        maxsources: options.maxsources,
        port: options.port,
        version: options.version,
        key: options.key,
        ..SourceOptions::default()
    };
    Source::new(kind, name, options).map_err(|error| error.to_string())
}

/// A source as far as it can be said with the options an operator has; absent when its name cannot.
pub(super) fn server_of(source: &Source) -> Option<Server> {
    let options = source.options();
    let options = ServerOptions {
        pool: source.kind() == SourceKind::Pool,
        iburst: (!options.iburst).then_some(false),
        nts: options.nts,
        prefer: options.prefer,
        trust: options.trust,
        require: options.require,
        noselect: options.noselect,
        xleave: options.xleave,
        minpoll: options.minpoll,
        maxpoll: options.maxpoll,
        maxsources: options.maxsources,
        port: options.port,
        version: options.version,
        key: options.key,
    };
    Server::new(source.name().as_str(), options).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_become_lines_and_lines_servers() {
        let servers: Vec<Server> = [
            "ntp1.example.com",
            "192.0.2.1+noiburst",
            "2001:db8::1",
            "pool.example.com+pool+maxsources=3",
            "a.example.com+nts+prefer+minpoll=4+maxpoll=6",
            "b+trust+require+xleave+port=1123+version=3+key=7",
            "c+noselect+minpoll=-2",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let text = write(&servers).unwrap();
        assert!(text.starts_with("# Managed by timeball."), "{text}");
        assert!(text.contains("\nserver ntp1.example.com iburst\n"), "{text}");
        assert!(text.contains("\nserver 192.0.2.1\n"), "{text}");
        let back: Vec<Server> = read(&text).iter().filter_map(server_of).collect();
        assert_eq!(back, servers);
    }

    #[test]
    fn a_file_is_read_as_chronyd_reads_it() {
        let names = |text: &str| {
            read(text)
                .iter()
                .map(|source| source.name().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("server a iburst\n# x\nrubbish\nserver b\n"), ["a", "b"]);
        assert_eq!(names("server a\nserver b"), ["a"]);
        assert_eq!(names(""), [""; 0]);
    }
}
