//! The engine as a whole: an input is a configuration and a story of what happens to a host that has it.

mod host;
mod rules;
mod servers;
mod settings;
mod story;

use crate::bytes::Bytes;
use crate::{Target, words_of};

pub(crate) use host::{Host, Learned};
pub(crate) use servers::Manner;
pub(crate) use settings::{SETTINGS, TRACKING_RTC};

pub(crate) const TARGET: Target = Target {
    name: "engine",
    check,
    seeds: story::seeds,
    words: || {
        words_of(&[
            "server ",
            "SRC0\n192.0.2.1\n0 377 8 2 0\n2 0\n",
            "1262304000.402791245 ",
            " 1.687421e-04",
        ])
    },
};

/// A byte for the configuration, one for the time at the start, and then what happens.
fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let setting = &SETTINGS[bytes.below(SETTINGS.len())];
    let mut host = Host::new(setting, bytes.u8(), Learned::default());
    story::play(&mut host, &mut bytes);
    host.look_at_reports();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the setting whose rules are about addresses, who asks for a nonce gets one unless a rule says otherwise.
    #[test]
    fn who_may_ask_is_told() {
        let number = SETTINGS.len() - 2;
        let is_told = |seed: &Vec<u8>| {
            let mut host = Host::new(&SETTINGS[number], 0, Learned::default());
            story::play(&mut host, &mut Bytes::new(&seed[2..]));
            !host.nonce.is_empty()
        };
        let seeds = story::seeds();
        let of_setting = seeds.iter().filter(|seed| usize::from(seed[0]) == number);
        // Five of eight askers: one is ignored, one may not ask, and one may in version 4 only.
        assert_eq!(of_setting.filter(|seed| is_told(seed)).count(), 5);
    }
}
