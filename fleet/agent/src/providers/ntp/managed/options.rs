//! Options of servers that a time service's language cannot express.

use model::{Failure, FailureKind, Server};

/// Checks that a server has no other options than these; whether it stands for several servers and begins with a quick
/// series of requests is left to the caller.
///
/// # Errors
/// [`FailureKind::NotExpressible`] with the first one that is not among them.
pub(in crate::providers::ntp) fn refuse_options(
    daemon: &str,
    server: &Server,
    taken: &[&str],
) -> Result<(), Failure> {
    let options = server.options();
    let given = [
        ("nts", options.nts),
        ("prefer", options.prefer),
        ("trust", options.trust),
        ("require", options.require),
        ("noselect", options.noselect),
        ("xleave", options.xleave),
        ("minpoll", options.minpoll.is_some()),
        ("maxpoll", options.maxpoll.is_some()),
        ("maxsources", options.maxsources.is_some()),
        ("port", options.port.is_some()),
        ("version", options.version.is_some()),
        ("key", options.key.is_some()),
    ];
    let foreign = given
        .into_iter()
        .find(|(name, given)| *given && !taken.contains(name));
    foreign.map_or(Ok(()), |(name, _)| {
        Err(not_expressible(
            daemon,
            server,
            name,
            "leave it out for this host, or give the host a time service that has it",
        ))
    })
}

/// The failure of a server with an option that the daemon cannot be given.
pub(in crate::providers::ntp) fn not_expressible(
    daemon: &str,
    server: &Server,
    option: &str,
    remedy: &str,
) -> Failure {
    Failure::new(
        FailureKind::NotExpressible,
        format!("{daemon} cannot be told {option} of a server ({server}): {remedy}"),
    )
}
