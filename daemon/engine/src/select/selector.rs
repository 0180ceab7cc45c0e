//! The selection as a recipe, and what it remembers from one run to the next.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::{Candidate, Options};
use super::combine::{self, Combined, Misfit};
use super::eligibility;
use super::intersection::{Agreement, Interval};
use super::messages::{Failure, FailuresTold, Message, Names, POLLS_TO_SETTLE, SourceTold};
use super::rules::Rules;
use super::status::Status;

/// A source that was better than the selected one by this factor, over several samples taken together, is
/// selected instead.
pub const SCORE_TO_RESELECT: f64 = 10.0;

/// With how many samples in a row a source has to fit before it is combined again.
const SAMPLES_TO_RETURN: u8 = 4;

/// What the selection found about one source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// How far it came.
    pub status: Status,
    /// Its options after `authselectmode`.
    pub options: Options,
    /// How much better than the selected source it was lately, 1…[`SCORE_TO_RESELECT`].
    pub score: f64,
    /// The age of its newest sample, seconds.
    pub last_sample_age_s: f64,
    /// The lower end of where it says the truth is, seconds. Unlike offsets elsewhere this is system clock −
    /// true time, as `chronyc selectdata` shows it. 0 without samples and of what is never
    /// selected.
    pub low_s: f64,
    /// The upper end, likewise.
    pub high_s: f64,
}

impl Verdict {
    /// The same when the clock counts as corrected by so much, true time − system clock, seconds.
    #[must_use]
    pub fn after(self, correction_s: f64) -> Self {
        if self.low_s == 0.0 && self.high_s == 0.0 {
            return self;
        }
        Self {
            low_s: self.low_s + correction_s,
            high_s: self.high_s + correction_s,
            ..self
        }
    }
}

/// What one run of the selection found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// One for each candidate, in their order.
    pub verdicts: Vec<Verdict>,
    /// The source that is the reference, as an index; `None` if the clock follows nobody.
    pub best: Option<usize>,
    /// What the clock is to follow; there is one exactly when there is a [`best`](Self::best).
    pub combined: Option<Combined>,
    /// Why there is no [`best`](Self::best). `None` as well while the selection only waits for a sample (`w`,
    /// `U`): then what was known of the clock stays true.
    pub failure: Option<Failure>,
    /// What the log is to hear, in order.
    pub messages: Vec<Message>,
}

/// What is remembered of a source while it exists.
#[derive(Debug, Clone, Copy)]
struct Memory {
    score: f64,
    /// Whether the clock followed its newest sample already.
    is_used: bool,
    /// Whether it let a sample pass while it waited for others.
    has_waited: bool,
    /// How many more samples it has to fit with before it is combined again, and why it is not.
    excluded: Option<(Misfit, u8)>,
    told: SourceTold,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            score: 1.0,
            is_used: false,
            has_waited: false,
            excluded: None,
            told: SourceTold::default(),
        }
    }
}

/// Selects sources, again and again.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    selected: Option<u32>,
    memories: BTreeMap<u32, Memory>,
    failures_told: FailuresTold,
}

impl Selector {
    /// Returns one that remembers nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the id of the selected source.
    #[must_use]
    pub const fn selected(&self) -> Option<u32> {
        self.selected
    }

    /// Forgets which source is selected: the next run takes the best one as soon as that has a new sample
    /// (`chronyc reselect`).
    pub fn reselect(&mut self) {
        self.selected = None;
    }

    /// Forgets a source: it is another one from now on.
    pub fn forget(&mut self, id: u32) {
        self.memories.remove(&id);
        self.selected = self.selected.filter(|selected| *selected != id);
    }

    /// Looks at all sources and says which to follow. To be called whenever a source has a new sample or changed
    /// otherwise. Names are for messages and asked for only when there are any.
    pub fn select(&mut self, candidates: &[Candidate], rules: &Rules, names: &Names<'_>) -> Selection {
        let options = rules.auth_mode.effective_options(
            candidates
                .iter()
                .map(|candidate| (candidate.options, candidate.origin)),
        );
        self.remember(candidates);
        let had_selected = self.selected;

        let mut run = Run {
            candidates,
            options: &options,
            rules,
            statuses: vec![Status::default(); candidates.len()],
        };
        let outcome = self.judge(&mut run);
        let statuses = run.statuses;
        let mut messages = self.told_of_sources(candidates, &statuses, rules, names, &outcome);
        let mut selection = Selection::default();
        match outcome {
            Outcome::Selected { best, members, leap } => {
                if had_selected != Some(candidates[best].id) {
                    messages.push(Message::selected(&names(candidates[best].id)));
                }
                self.selected = Some(candidates[best].id);
                self.failures_told.clear();
                if had_selected.is_none() {
                    // Who is false is said once more beside those that are followed now, as chronyd does.
                    for memory in self.memories.values_mut() {
                        memory.told.clear_falseticker();
                    }
                }
                let members: Vec<_> = members.into_iter().map(|index| &candidates[index]).collect();
                selection.best = Some(best);
                selection.combined = Some(combine::combine(&candidates[best], &members, leap));
            }
            Outcome::Waiting => self.selected = None,
            Outcome::Failed(failure) => {
                self.selected = None;
                selection.failure = Some(failure);
                if is_worth_telling(failure, had_selected.is_some(), candidates, &options) {
                    messages.extend(self.failures_told.tell(failure));
                }
            }
        }
        selection.verdicts = self.verdicts(candidates, &options, &statuses);
        selection.messages = messages;
        selection
    }

    /// The story: who may vote, what the majority says, who of them is best, who is averaged with it.
    fn judge(&mut self, run: &mut Run<'_>) -> Outcome {
        let faults = eligibility::examine(run.candidates, run.options, run.rules);
        let mut voters = Vec::new();
        for (index, fault) in faults.iter().enumerate() {
            match fault {
                Some(fault) => run.statuses[index] = *fault,
                None => voters.push(index),
            }
        }
        if voters.is_empty() {
            return Outcome::Failed(Failure::NoSelectableSources {
                unreachable: run.unreachable(),
            });
        }
        if self.is_worth_waiting(run, &faults, &voters) {
            run.mark(&voters, Status::WaitingForSamples);
            return Outcome::Waiting;
        }
        let truechimers = match run.vote(&voters) {
            Ok(truechimers) => truechimers,
            Err(failure) => return Outcome::Failed(failure),
        };
        if let Some(failure) = run.shortage(&truechimers) {
            run.mark(&truechimers, Status::WaitingForSources);
            return Outcome::Failed(failure);
        }
        let leap = run.leap(&truechimers);
        let contenders = run.preferred(&truechimers);
        let Some(best) = self.best(run, &run.agreeing(&contenders)) else {
            run.mark(&contenders, Status::WaitingForUpdate);
            return Outcome::Waiting;
        };
        let members = self.members(run, &contenders, best);
        Outcome::Selected { best, members, leap }
    }

    /// Whether to hold the first selection until another source has its last missing sample. Never for longer
    /// than one sample of a source that waits, and never once a source is followed.
    fn is_worth_waiting(&mut self, run: &Run<'_>, faults: &[Option<Status>], voters: &[usize]) -> bool {
        let is_followed = voters
            .iter()
            .any(|&index| self.selected == Some(run.candidates[index].id));
        let is_anyone_near = run
            .candidates
            .iter()
            .zip(faults)
            .any(|(candidate, &fault)| eligibility::is_nearly_ready(candidate, fault));
        let mut is_over = is_followed || !is_anyone_near;
        for &index in voters {
            let candidate = &run.candidates[index];
            let memory = self.memories.entry(candidate.id).or_default();
            is_over |= memory.has_waited && candidate.has_new_sample;
            memory.has_waited = true;
        }
        !is_over
    }

    /// The source to follow among these; `None` while the best has nothing new to say.
    fn best(&mut self, run: &Run<'_>, contenders: &[usize]) -> Option<usize> {
        let nearest = contenders.iter().copied().min_by(|&a, &b| {
            let (a, b) = (&run.candidates[a], &run.candidates[b]);
            run.rank_s(a).total_cmp(&run.rank_s(b)).then(a.id.cmp(&b.id))
        })?;
        let selected = contenders
            .iter()
            .copied()
            .find(|&index| self.selected == Some(run.candidates[index].id));
        let Some(selected) = selected else {
            self.reset_scores();
            return (!self.memory(&run.candidates[nearest]).is_used).then_some(nearest);
        };
        match self.challenger(run, contenders, selected) {
            Some(challenger) => {
                self.reset_scores();
                Some(challenger)
            }
            None => Some(selected),
        }
    }

    /// Keeps the scores, and returns a source that was better than the selected one for long enough.
    fn challenger(&mut self, run: &Run<'_>, contenders: &[usize], selected: usize) -> Option<usize> {
        let mut scores = Vec::with_capacity(contenders.len());
        for &index in contenders.iter().filter(|&&index| index != selected) {
            let candidate = &run.candidates[index];
            let mut score = self.memory(candidate).score;
            if candidate.has_new_sample {
                let challenger_s = run.rank_s(candidate) + run.rules.reselect_distance_s;
                let ratio = run.rank_s(&run.candidates[selected]) / challenger_s;
                // NaN where both are 0: neither is better.
                score = if ratio.is_nan() {
                    score
                } else {
                    (score * ratio).clamp(1.0, SCORE_TO_RESELECT)
                };
            }
            scores.push((index, score));
        }
        self.reset_scores();
        for &(index, score) in &scores {
            if let Some(memory) = self.memories.get_mut(&run.candidates[index].id) {
                memory.score = score;
            }
        }
        scores
            .into_iter()
            .filter(|&(_, score)| score >= SCORE_TO_RESELECT)
            .map(|(index, _)| index)
            .min_by(|&a, &b| {
                let (a, b) = (&run.candidates[a], &run.candidates[b]);
                run.rank_s(a).total_cmp(&run.rank_s(b)).then(a.id.cmp(&b.id))
            })
    }

    /// Those that are averaged, the best included, in the order of their ids; gives all contenders their status.
    fn members(&mut self, run: &mut Run<'_>, contenders: &[usize], best: usize) -> Vec<usize> {
        let mut members = Vec::new();
        for &index in contenders {
            let candidate = &run.candidates[index];
            let memory = self.memories.entry(candidate.id).or_default();
            let misfit = if index == best {
                None
            } else {
                combine::misfit(candidate, &run.candidates[best], run.rules)
            };
            memory.excluded = match (misfit, memory.excluded) {
                _ if index == best => None,
                (Some(misfit), _) => Some((misfit, SAMPLES_TO_RETURN)),
                (None, Some((_, 0 | 1))) if candidate.has_new_sample => None,
                (None, Some((misfit, left))) => {
                    Some((misfit, left.saturating_sub(u8::from(candidate.has_new_sample))))
                }
                (None, None) => None,
            };
            run.statuses[index] = match memory.excluded {
                _ if index == best => Status::Best,
                None => Status::Combined,
                Some((Misfit::Distant, _)) => Status::Distant,
                Some((Misfit::Outlier, _)) => Status::Outlier,
            };
            if memory.excluded.is_none() {
                memory.is_used = true;
                members.push(index);
            }
        }
        for memory in self.memories.values_mut() {
            memory.has_waited = false;
        }
        members.sort_unstable_by_key(|&index| run.candidates[index].id);
        members
    }

    /// Forgets sources that are gone, and learns who has something new to say.
    fn remember(&mut self, candidates: &[Candidate]) {
        let ids = candidates.iter().map(|candidate| candidate.id);
        if !self.memories.keys().copied().eq(ids.clone()) {
            let present: BTreeSet<_> = ids.collect();
            self.memories.retain(|id, _| present.contains(id));
        }
        for candidate in candidates {
            let memory = self.memories.entry(candidate.id).or_default();
            memory.is_used &= !candidate.has_new_sample;
        }
    }

    fn memory(&self, candidate: &Candidate) -> Memory {
        self.memories.get(&candidate.id).copied().unwrap_or_default()
    }

    fn reset_scores(&mut self) {
        for memory in self.memories.values_mut() {
            memory.score = 1.0;
        }
    }

    fn told_of_sources(
        &mut self,
        candidates: &[Candidate],
        statuses: &[Status],
        rules: &Rules,
        names: &Names<'_>,
        outcome: &Outcome,
    ) -> Vec<Message> {
        // Without a majority nobody knows who is false.
        let is_undecided = matches!(outcome, Outcome::Failed(Failure::NoMajority { .. }));
        let mut messages = Vec::new();
        for (candidate, &status) in candidates.iter().zip(statuses) {
            if is_undecided && status == Status::Falseticker {
                continue;
            }
            let memory = self.memories.entry(candidate.id).or_default();
            messages.extend(memory.told.tell(candidate, status, rules, names));
        }
        messages
    }

    fn verdicts(&self, candidates: &[Candidate], options: &[Options], statuses: &[Status]) -> Vec<Verdict> {
        candidates
            .iter()
            .zip(options)
            .zip(statuses)
            .map(|((candidate, &options), &status)| {
                let (low_s, high_s) = if candidate.samples == 0 || status == Status::NoSelect {
                    (0.0, 0.0)
                } else {
                    let (offset_s, distance_s) = (-candidate.offset_s, candidate.root_distance_s);
                    (offset_s - distance_s, offset_s + distance_s)
                };
                Verdict {
                    status,
                    options,
                    score: self.memory(candidate).score,
                    last_sample_age_s: candidate.last_sample_age_s,
                    low_s,
                    high_s,
                }
            })
            .collect()
    }
}

/// How a run ended.
#[derive(Debug)]
enum Outcome {
    Selected {
        best: usize,
        members: Vec<usize>,
        leap: units::Leap,
    },
    /// Nothing is wrong; there is only nothing to follow yet.
    Waiting,
    Failed(Failure),
}

/// Whether the log is to hear of a failure: at once when it ends something or when sources contradict each
/// other; after the start only when the sources have had time to show themselves.
fn is_worth_telling(
    failure: Failure,
    was_following: bool,
    candidates: &[Candidate],
    options: &[Options],
) -> bool {
    let wanted = || {
        candidates
            .iter()
            .zip(options)
            .filter(|(_, options)| !options.noselect)
            .map(|(wanted, _)| wanted)
    };
    let has_settled = |candidate: &Candidate| candidate.polls >= POLLS_TO_SETTLE;
    let have_settled =
        wanted().any(has_settled) && wanted().all(|wanted| has_settled(wanted) || !wanted.is_online);
    match failure {
        _ if was_following => true,
        Failure::NoMajority { .. } => true,
        // Whatever else keeps sources from being selectable is told at the source.
        Failure::NoSelectableSources { unreachable } => {
            let have_too_few = || wanted().all(|wanted| wanted.samples < wanted.samples_needed);
            have_settled && (unreachable > 0 || have_too_few())
        }
        Failure::NotEnoughSources | Failure::NoRequiredSource => have_settled,
    }
}

/// One run: what it looks at and what it has found so far.
struct Run<'a> {
    candidates: &'a [Candidate],
    options: &'a [Options],
    rules: &'a Rules,
    statuses: Vec<Status>,
}

impl Run<'_> {
    fn mark(&mut self, indices: &[usize], status: Status) {
        for &index in indices {
            self.statuses[index] = status;
        }
    }

    /// Those of three or more that half of the others at least could be averaged with: one that says something
    /// else than most is not followed, however near it is. All of them if there are none.
    fn agreeing(&self, contenders: &[usize]) -> Vec<usize> {
        if contenders.len() < 3 {
            return contenders.to_vec();
        }
        let differ = |a: usize, b: usize| {
            let (a, b) = (&self.candidates[a], &self.candidates[b]);
            combine::misfit(a, b, self.rules) == Some(Misfit::Outlier)
        };
        let agreeing: Vec<usize> = contenders
            .iter()
            .copied()
            .filter(|&one| {
                let differing = contenders.iter().filter(|&&other| differ(other, one)).count();
                2 * differing < contenders.len()
            })
            .collect();
        if agreeing.is_empty() {
            contenders.to_vec()
        } else {
            agreeing
        }
    }

    fn unreachable(&self) -> usize {
        let sources = self.candidates.iter().zip(self.options);
        sources
            .filter(|(source, options)| !options.noselect && !source.is_reachable())
            .count()
    }

    /// Lets sources vote, only trusted ones if there are any, and returns those that the result leaves.
    ///
    /// Without trusted sources these are the ones that contain all on which the majority agrees. With trusted
    /// ones all others have to lie within that: they may narrow it down, but the clock never goes where no
    /// trusted majority would let it.
    fn vote(&mut self, voters: &[usize]) -> Result<Vec<usize>, Failure> {
        let interval = |index: usize| {
            let candidate = &self.candidates[index];
            Interval::around(
                candidate.offset_s,
                candidate.root_distance_s + candidate.vote_margin_s,
            )
        };
        let trusted: Vec<_> = voters
            .iter()
            .copied()
            .filter(|&index| self.options[index].trust)
            .collect();
        let is_among_trusted = !trusted.is_empty();
        let electorate = if is_among_trusted { &trusted } else { voters };
        let agreement = Agreement::among(electorate.iter().map(|&index| interval(index)));
        let Some(agreement) = agreement.filter(Agreement::is_majority) else {
            let (agreeing, count) = agreement.map_or((0, 0), |found| (found.agreeing, found.voters));
            self.mark(voters, Status::Falseticker);
            return Err(Failure::NoMajority {
                agreeing,
                voters: count,
                is_among_trusted,
            });
        };
        let agreed = agreement.interval;
        let mut truechimers = Vec::new();
        for &index in voters {
            let own = interval(index);
            let fits = if is_among_trusted && !self.options[index].trust {
                agreed.contains(&own)
            } else {
                own.contains(&agreed)
            };
            let is_partial = is_among_trusted && !self.options[index].trust && agreed.overlaps(&own);
            if fits {
                truechimers.push(index);
            } else {
                self.statuses[index] = if is_partial {
                    Status::Untrusted
                } else {
                    Status::Falseticker
                };
            }
        }
        Ok(truechimers)
    }

    /// Says which of the sources asked for are missing.
    fn shortage(&self, truechimers: &[usize]) -> Option<Failure> {
        let is_required = self.options.iter().any(|options| options.require);
        if truechimers.len() < self.rules.sources_min {
            Some(Failure::NotEnoughSources)
        } else if is_required && !truechimers.iter().any(|&index| self.options[index].require) {
            Some(Failure::NoRequiredSource)
        } else {
            None
        }
    }

    /// Those with the option `prefer`, or all if none has it; the others get their status.
    fn preferred(&mut self, truechimers: &[usize]) -> Vec<usize> {
        let (preferred, others): (Vec<_>, Vec<_>) = truechimers
            .iter()
            .copied()
            .partition(|&index| self.options[index].prefer);
        if preferred.is_empty() {
            return others;
        }
        self.mark(&others, Status::NotPreferred);
        preferred
    }

    /// The leap second on which the sources that can be followed agree.
    fn leap(&self, truechimers: &[usize]) -> units::Leap {
        let has_trusted = truechimers.iter().any(|&index| self.options[index].trust);
        let sources: Vec<_> = truechimers
            .iter()
            .filter(|&&index| !has_trusted || self.options[index].trust)
            .map(|&index| &self.candidates[index])
            .collect();
        combine::leap_of_majority(&sources)
    }

    /// By what sources are compared, the smaller the better, seconds. Nobody is worse for waiting for the next sample.
    fn rank_s(&self, candidate: &Candidate) -> f64 {
        candidate.root_distance_s - candidate.waiting_growth_s
            + self.rules.stratum_weight_s * f64::from(candidate.stratum.0)
    }
}
