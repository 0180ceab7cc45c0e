//! Prints what one run of a family did: `one FAMILY SEED`.

#![allow(clippy::expect_used, reason = "a run that cannot be made is a failed run")]

use sim::families::Family;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let family = arguments
        .next()
        .and_then(|name| Family::named(&name))
        .expect("a family");
    let seed = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .expect("a seed");
    family.scenario().print(seed);
}
