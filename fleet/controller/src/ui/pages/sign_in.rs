//! Signing in with an API token.

use askama::Template;

/// The form.
#[derive(Template)]
#[template(path = "pages/sign_in.html")]
pub(crate) struct SignIn {
    /// Whether the token of the last try was not good.
    pub(crate) failed: bool,
}
