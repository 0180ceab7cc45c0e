//! Which sources are believed, which one is the reference, and what they say together.
//!
//! [`Selector::select`] looks at one [`Candidate`] per source and returns a [`Selection`]. A source goes through
//! these gates, and its [`Status`] is the first at which it stops:
//!
//! 1. its own faults: not to be selected, not synchronised, too few samples, out of limits (`N s M r d ~`);
//! 2. only old samples, an orphan among orphans, or waiting for a source that is nearly ready (`S O w`);
//! 3. the vote: where do the intervals offset ± root distance of a majority overlap (`x T`);
//! 4. are enough there, and one that is required (`W`); is another preferred (`P`);
//! 5. the nearest is the best (`*`), with a bonus for the one that was (`U` while it has nothing new);
//! 6. those that are near it and say the same are averaged with it (`+`), the others are not (`D L`).
//!
//! Statuses and messages are those of chronyd, observed from outside. Where operators see no difference we differ:
//!
//! - **The first selection takes the best source**, not the one whose sample came last: a sample that no
//!   correction of the clock has used yet is news, however long ago it came. chronyd changes its source several
//!   times in the first minutes.
//! - **Averaging knows of asymmetry.** Weights are inverse variances of noise *and* of what the root distance
//!   allows a path to hide (`combine.rs`), and the error of the mean grows when sources differ by more than they
//!   should.
//! - **A falseticker or a source out of limits is told once** until it is selectable again; chronyd repeats it
//!   when the reference changes. A failure is told once until a source is selected, however the sources come and
//!   go in between.
//!
//! What holds for any input, however broken (`properties.rs`): there is one verdict for each candidate; a number
//! that is none keeps its source out; when the intervals of more than half of the voters contain the truth, only
//! sources that overlap one of these are followed; the order of the candidates does not matter.

mod candidate;
mod combine;
mod eligibility;
mod intersection;
mod messages;
mod rules;
mod selector;
mod status;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod situations;

pub use candidate::{AuthMode, Candidate, Options, Origin};
pub use combine::Combined;
pub use messages::{Failure, Message, Names, Severity};
pub use rules::Rules;
pub use selector::{SCORE_TO_RESELECT, Selection, Selector, Verdict};
pub use status::Status;
