//! Past measurements: written for the next start, and read after one.

use conf::config::Topic;
use units::Mono;

use crate::io::Output;
use crate::source::SourceId;
use crate::source::dump::Clock;
use crate::sources::{Sources, Tools};

/// The most files of past measurements that wait for their source.
const HISTORIES_MAX: usize = 256;

/// The longest file of past measurements, bytes.
const HISTORY_LENGTH_MAX: usize = 65_536;

impl Sources {
    /// Writes down what was measured of every source (`chronyc dump`); of one without measurements there is
    /// nothing to write.
    pub fn dump(&self, tools: &mut Tools<'_>) {
        let clock = clock(tools);
        for source in self.by_id.values() {
            if let Some(name) = source.dump_name().filter(|_| source.estimator.count() > 0) {
                tools.out.push(Output::WriteDump {
                    source: name,
                    text: source.dump(&clock),
                });
            }
        }
    }

    /// Takes in what was written about the source at `place`; as long as there is none it is kept.
    pub fn remember(&mut self, place: &str, text: &str, tools: &mut Tools<'_>) {
        if self.histories.len() < HISTORIES_MAX && text.len() <= HISTORY_LENGTH_MAX {
            self.histories.insert(place.to_owned(), text.to_owned());
        }
        let mut sources = self.by_id.iter();
        let known = sources.find(|(_, source)| source.dump_name().as_deref() == Some(place));
        if let Some(id) = known.map(|(id, _)| *id) {
            self.recall(id, tools);
        }
    }

    /// Gives a source what was written about it.
    pub(super) fn recall(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        let Some(source) = self.by_id.get_mut(&id) else {
            return;
        };
        let Some(text) = source.dump_name().and_then(|name| self.histories.remove(&name)) else {
            return;
        };
        let place = source.place();
        if source.load(&text, &clock(tools)).is_ok() {
            tools
                .out
                .info_about(Topic::Source, format!("Loaded dump file for {place}"));
            self.events.push_back(crate::sources::Event::Sampled(id));
        } else {
            tools.out.warn(format!("Could not load dump file for {place}"));
        }
    }
}

fn clock(tools: &Tools<'_>) -> Clock {
    let now: Mono = tools.now.mono;
    Clock {
        now: tools.timeline.wall(now),
        at: tools.timeline.oscillator(now),
        correction_s: tools.timeline.correction_s(now),
        frequency: tools.local.frequency,
    }
}
