//! A page that only says something: not found, not allowed, not now.

use askama::Template;

/// A few words and the way on.
#[derive(Template)]
#[template(path = "pages/message.html")]
pub(crate) struct Message {
    /// The matter in three words.
    pub(crate) title: &'static str,
    /// What to do.
    pub(crate) text: String,
    /// Where to go on.
    pub(crate) way: (&'static str, &'static str),
}

impl Message {
    /// There is no such page.
    pub(crate) fn not_found() -> Self {
        Message {
            title: "There is no such page",
            text: "This controller has one page, the hosts of the fleet, and its API under /api.".to_owned(),
            way: ("/", "To the hosts"),
        }
    }

    /// The session may not see the hosts.
    pub(crate) fn not_allowed(missing: &str) -> Self {
        Message {
            title: "This token may not see the hosts",
            text: format!(
                "It lacks the permission {missing}. Sign in with a token of the role read, write or admin."
            ),
            way: ("/sign-in", "Sign in with another token"),
        }
    }
}
