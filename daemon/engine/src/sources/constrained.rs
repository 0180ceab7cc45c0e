//! What constraints make of the asking: who waits for them, and who contradicts them.

use crate::constraint::{Constrained, REFUSED_SPREAD_S, REFUSED_WAIT_S};
use crate::io::Severity;
use crate::source::{Source, SourceId};
use crate::sources::{Event, Sources, Tools};
use crate::timer::Timer;

impl Sources {
    /// Whether a source is not asked because nothing is known yet by which its answer could be judged.
    pub(super) fn waits_for_constraint(&self, source: &Source, tools: &Tools<'_>) -> bool {
        tools.local.constrained == Constrained::Unknown && source.is_constrained()
    }

    /// The constraints say something else than before: who waited for them, or contradicted them, is asked.
    pub(crate) fn constraints_changed(&mut self, tools: &mut Tools<'_>) {
        for id in std::mem::take(&mut self.refused) {
            tools.timers.stop(Timer::Poll(id));
        }
        let is_waiting = |(id, source): &(&SourceId, &Source)| {
            source.is_constrained() && source.is_asked() && tools.timers.get(Timer::Poll(**id)).is_none()
        };
        let waiting: Vec<SourceId> = self.iter().filter(is_waiting).map(|(id, _)| *id).collect();
        for id in waiting {
            self.plan_start(id, tools);
        }
    }

    /// Leaves a source alone for a while whose answer contradicts the constraints.
    pub(super) fn refuse(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        let Some(source) = self.by_id.get_mut(&id) else {
            return;
        };
        source.polling.end_burst();
        tools.out.say(
            Severity::Info,
            format!("reply from {}: constraint check failed", source.place()),
        );
        let share = f64::from(u32::try_from((tools.entropy)() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        let wait_s = REFUSED_WAIT_S + share * REFUSED_SPREAD_S;
        tools
            .timers
            .set(Timer::Poll(id), tools.now.mono.plus_seconds(wait_s));
        self.refused.insert(id);
        self.events.push_back(Event::Refused);
    }

    /// Whether the last answer of a source contradicted the constraints.
    pub(crate) fn is_refused(&self, id: SourceId) -> bool {
        self.refused.contains(&id)
    }
}
