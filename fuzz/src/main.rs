//! What libFuzzer drives: one target, which the environment names.

#![no_main]

use std::sync::OnceLock;

use fuzz::Target;

static TARGET: OnceLock<&Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let target = TARGET.get_or_init(fuzz::chosen);
        fuzz::write_seeds(target);
    },
    |bytes: &[u8]| {
        let target = TARGET.get_or_init(fuzz::chosen);
        (target.check)(bytes);
    }
);
