//! What of our world is on a page: a host's state, row and details, the summary, hosts that wait.
//!
//! A part is made from the model, can be compared with what was shown before, and renders itself as one
//! element with an id, so that the page can exchange it.

mod details;
mod list;
mod pending;
mod row;
mod state;
mod summary;

pub(crate) use details::Details;
pub(crate) use list::{Count, Head, Nothing, Pager};
pub(crate) use pending::Pending;
pub(crate) use row::{Row, heard_at, magnitude_key};
pub(crate) use state::State;
pub(crate) use summary::{Summary, is_drifted};

/// A quantity: as a person reads it, and exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    pub(crate) text: String,
    pub(crate) exact: String,
}

impl Quantity {
    pub(crate) fn offset(offset_s: f64) -> Self {
        Quantity {
            text: super::units::offset(offset_s),
            exact: super::units::exact_signed(offset_s),
        }
    }

    pub(crate) fn bound(bound_s: f64) -> Self {
        Quantity {
            text: super::units::bound(bound_s),
            exact: super::units::exact(bound_s),
        }
    }
}
