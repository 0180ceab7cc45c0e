//! Sending what is due, and giving what comes to whom it belongs.

use std::net::{IpAddr, SocketAddr};

use conf::config::{LogKind, Topic};
use units::{Mode, Mono};
use wire::ntp::{Header, KissCode, Packet};

use crate::io::{LogFile, Output, SocketId, SocketUse, Stamp, StampSource};
use crate::ports::Holder;
use crate::source::answer::{Arrival, Judgement};
use crate::source::line::MeasurementLine;
use crate::source::{Source, SourceId};
use crate::sources::add::START_SPACING_S;
use crate::sources::{Event, Sources, Tools, count};
use crate::timer::Timer;

/// How long an answer is waited for beyond the longest allowed delay, seconds.
const ANSWER_WAIT_S: f64 = 1.0;

/// The wait between a packet that goes ahead and the next one (`presend`), seconds.
const AHEAD_S: f64 = 2.0;

/// Waits differ by up to this share, at random: those at the shortest interval, which the operator chose, and in bursts
/// are longer; those that have grown are shorter, so that the longest one is no longer than the operator chose.
const SPREAD: f64 = 0.02;

/// A peer that has not answered yet, or asks less often than we do, is waited for so many times the interval: it may
/// be about to send by itself, and two whose packets always cross never answer each other.
const PEER_PATIENCE: f64 = 1.1;

/// Who is to be asked within this share of its interval is asked right after another: what one exchange brings into the
/// processor's caches is there for the next, and the host sleeps the longer. Sources with one interval keep together from
/// then on; the share is by how much one interval is shortened for that, once.
const TOGETHER_SHARE: f64 = 0.125;

/// No answer waits longer than this for the next sources to be asked, seconds …
const UNREAD_S_MAX: f64 = 1.0;
/// … and no more answers than these.
const UNREAD_MAX: usize = 8;

/// After the kiss code RATE the next request waits for so many intervals more.
const RATE_INTERVALS: f64 = 4.0;

/// How many polls nobody must have answered for a source to count as not reachable.
pub(super) const POLLS_TO_SETTLE: u8 = 8;

/// A datagram that may be for a source.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The socket it came in on.
    pub socket: SocketId,
    /// Its sender.
    pub from: SocketAddr,
    /// The local address it came to.
    pub to: Option<IpAddr>,
    /// When it came.
    pub received: Stamp,
    /// What it is.
    pub packet: Packet<'a>,
}

/// The sources that are asked one right after the other, and from then on together.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// When the last request was sent, and to whom.
    sent: Option<(Mono, SourceId)>,
    /// Who is asked next because another was asked.
    follower: Option<SourceId>,
    /// What spreads the next waits of all of them, 64 random bits.
    lot: u64,
    /// Whose answers wait until the next source is asked, and when they were asked themselves.
    unread: Vec<(Mono, SourceId)>,
}

/// What a datagram was to the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is from none of them.
    NotOurs,
    /// It is from one that does not send such packets, or comes when it is of no use any more.
    Unexpected,
    /// The source has not proved that it is from it.
    Unauthenticated,
    /// It is authentic, as far as that is asked for.
    Authentic,
}

impl Sources {
    /// Sends the next request to a source.
    pub fn poll(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        let now = tools.now.mono;
        let Some(source) = self.by_id.get(&id).filter(|source| source.is_asked()) else {
            self.finish(id);
            return;
        };
        if let Some(at) = self.too_soon(id, now) {
            tools.timers.set(Timer::Poll(id), at);
            return;
        }
        if self.waits_for_constraint(source, tools) {
            return;
        }
        self.refused.remove(&id);
        let ahead = self.goes_ahead(id);
        self.tell_unanswered(id, tools);
        self.close(id, tools);
        let Some(source) = self.by_id.get_mut(&id) else {
            return;
        };
        if !ahead {
            match source.begin_poll(now, tools.local.frequency) {
                (_, true) => self.events.push_back(Event::Sampled(id)),
                (true, false) => self.events.push_back(Event::Changed(id)),
                (false, false) => {}
            }
            if source.reach == 0 && source.polls >= POLLS_TO_SETTLE {
                self.complain(id, now, tools.out);
            }
        }
        self.send(id, ahead, tools);
        let Some(source) = self.by_id.get(&id) else { return };
        // Those that are asked together draw one lot: of several the shortest wait would count, which is hardly spread.
        if self.round.follower.take() != Some(id) {
            self.round.lot = (tools.entropy)();
        }
        let wait_s = if ahead {
            AHEAD_S
        } else {
            spread(source, patience(source) * source.polling.wait_s(), self.round.lot)
        };
        tools.timers.set(Timer::Poll(id), now.plus_seconds(wait_s));
        let is_peer = source.is_peer();
        self.round.sent = Some((now, id));
        if !ahead && !is_peer {
            self.follow(id, tools);
        }
        // Nobody wakes up only to find that it is too soon.
        tools.timers.put_off_polls(id, now.plus_seconds(self.spacing_s()));
    }

    /// A server has been asked: the next one follows if it would be its turn soon, and the answers are read when the last
    /// of them has been asked: the kernel says when they came. Peers have their own order.
    fn follow(&mut self, asked: SourceId, tools: &mut Tools<'_>) {
        let now = tools.now.mono;
        let is_soon = |id: SourceId, at: Mono| {
            let source = self
                .by_id
                .get(&id)
                .filter(|source| id != asked && !source.is_peer());
            source.is_some_and(|source| at.seconds_since(now) <= TOGETHER_SHARE * source.polling.wait_s())
        };
        let next = tools.timers.next_poll(is_soon);
        let Some((id, _)) = next else {
            self.round.unread.clear();
            return;
        };
        let at = now.plus_seconds(self.spacing_s());
        tools.timers.set(Timer::Poll(id), at);
        self.round.follower = Some(id);
        let is_over = |&(since, _): &(Mono, _)| at.seconds_since(since) > UNREAD_S_MAX;
        if self.round.unread.first().is_some_and(is_over) || self.round.unread.len() >= UNREAD_MAX {
            self.round.unread.clear();
        }
        if self.by_id.get(&asked).is_some_and(Source::can_be_read_later) {
            self.round.unread.push((now, asked));
        }
        for (_, id) in &self.round.unread {
            if let Some(socket) = self.by_id.get_mut(id).and_then(Source::put_off) {
                tools.out.push(Output::ReadLater { socket, until: at });
            }
        }
    }

    /// A datagram came in; says what it was to the sources.
    pub fn datagram(&mut self, incoming: &Incoming<'_>, tools: &mut Tools<'_>) -> Taken {
        let Some(id) = self.addressee(incoming) else {
            return Taken::NotOurs;
        };
        let now = tools.now.mono;
        let Some(source) = self.by_id.get_mut(&id) else {
            return Taken::NotOurs;
        };
        let header = &incoming.packet.header;
        let arrival = Arrival {
            header,
            is_authentic: tools.keys.accepts(&incoming.packet, source.config.key_id),
            received: incoming.received,
            to: incoming.to,
        };
        let before = source.estimator.state();
        let Some(judgement) = source.receive(&arrival, now, &tools.local, tools.timeline) else {
            return Taken::Unexpected;
        };
        let taken = if arrival.is_authentic {
            Taken::Authentic
        } else {
            Taken::Unauthenticated
        };
        if judgement.tests.valid() {
            source.is_stamped_on_arrival =
                incoming.received.source > StampSource::Daemon && incoming.received.at < tools.now.wall;
        }
        self.log(id, header, &judgement, incoming.received, tools);
        if judgement.tests.valid() {
            self.settle(id, &judgement, tools);
        }
        if judgement.refused {
            self.refuse(id, tools);
            return taken;
        }
        if judgement.tests.valid() {
            self.tell_answer(id, header, &judgement, tools);
        }
        if judgement.sampled {
            self.events.push_back(Event::Sampled(id));
            self.log_statistics(id, before, tools);
        } else if judgement.tests.valid() && !judgement.ahead {
            self.events.push_back(Event::Changed(id));
        }
        if judgement.tests.valid() {
            self.finish(id);
        }
        taken
    }

    /// A timestamp of something sent came back; says whether a source had sent it.
    pub fn transmitted(
        &mut self,
        socket: SocketId,
        header: &Header,
        stamp: Stamp,
        tools: &mut Tools<'_>,
    ) -> bool {
        let timeline = tools.timeline;
        if let Some(id) = self.of_socket.get(&socket) {
            let source = self.by_id.get_mut(id);
            return source.is_some_and(|source| source.transmitted(header.transmit_time, stamp, timeline));
        }
        matches!(header.mode, Mode::Client | Mode::SymmetricActive)
            && self
                .by_id
                .values_mut()
                .any(|source| source.transmitted(header.transmit_time, stamp, timeline))
    }

    /// A request could not be sent: it does not count, and a burst goes on until there is a network.
    pub fn send_failed(&mut self, socket: SocketId, tools: &mut Tools<'_>) {
        let Some(&id) = self.of_socket.get(&socket) else {
            return;
        };
        if let Some(source) = self.by_id.get_mut(&id) {
            source.not_sent();
            if source.polling.burst().is_some() {
                let wait_s = source.polling.wait_s();
                tools
                    .timers
                    .set(Timer::Poll(id), tools.now.mono.plus_seconds(wait_s));
            }
        }
        self.close(id, tools);
        self.tell_not_sent(id, tools);
        self.unroutable(id, tools);
        self.finish(id);
    }

    /// A request did not arrive, says the system with these words.
    pub fn undelivered(&mut self, socket: SocketId, reason: &str, tools: &mut Tools<'_>) {
        let Some(&id) = self.of_socket.get(&socket) else {
            return;
        };
        self.tell_undelivered(id, reason, tools);
        self.close(id, tools);
        self.finish(id);
    }

    /// Nobody answered in time.
    pub fn give_up(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        self.tell_unanswered(id, tools);
        self.close(id, tools);
        self.finish(id);
    }

    /// Nothing more is expected of this source: if that is because its burst is over, it is not followed any more.
    fn finish(&mut self, id: SourceId) {
        let source = self.by_id.get(&id);
        if source.is_some_and(|source| !source.is_asked() && source.reach > 0) {
            self.events.push_back(Event::Finished(id));
        }
    }

    /// The keys are these now: says which ones are missing.
    pub fn keys_changed(&mut self, tools: &mut Tools<'_>) {
        self.missing_keys.clear();
        let wanted: Vec<u32> = self
            .by_id
            .values()
            .filter_map(|source| source.config.key_id)
            .collect();
        for id in wanted {
            self.say_missing_key(Some(id), tools);
        }
    }

    /// Says once that a key is missing.
    pub(super) fn say_missing_key(&mut self, key_id: Option<u32>, tools: &mut Tools<'_>) {
        if let Some(id) = key_id
            && tools.keys.is_read()
            && tools.keys.get(id).is_none()
            && self.missing_keys.insert(id)
        {
            tools.out.warn(format!("Key {id} is missing"));
        }
    }

    /// Closes the socket of a request.
    pub(super) fn close(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        tools.timers.stop(Timer::GiveUp(id));
        if let Some(socket) = self.by_id.get_mut(&id).and_then(|source| source.socket.take()) {
            self.of_socket.remove(&socket);
            tools.out.push(Output::Close { socket });
        }
    }

    /// When a source can be asked instead, if now is too soon after a request to another.
    fn too_soon(&self, id: SourceId, now: Mono) -> Option<Mono> {
        let (sent_at, _) = self.round.sent.filter(|(_, to)| *to != id)?;
        let at = sent_at.plus_seconds(self.spacing_s());
        (at > now).then_some(at)
    }

    /// How long after a request to another a source can be asked, seconds. Between two requests to the one that is asked
    /// most often all of them have to find their turn.
    fn spacing_s(&self) -> f64 {
        let asked = || self.by_id.values().filter(|source| source.is_asked());
        let shortest_s = asked()
            .map(|source| source.polling.wait_s())
            .fold(f64::INFINITY, f64::min);
        START_SPACING_S.min(shortest_s / count(asked()))
    }

    /// Whether the next packet to a source only goes ahead of the one that measures (`presend`).
    fn goes_ahead(&mut self, id: SourceId) -> bool {
        let Some(source) = self.by_id.get(&id) else {
            return false;
        };
        let wanted = u8::from(!source.is_peer() && source.polling.burst().is_none())
            * u8::from(source.config.presend_poll <= source.polling.interval().0)
            * (1 + u8::from(source.config.interleaved));
        let sent = self.ahead.entry(id).or_default();
        if *sent < wanted {
            *sent += 1;
            return true;
        }
        *sent = 0;
        false
    }

    fn send(&mut self, id: SourceId, ahead: bool, tools: &mut Tools<'_>) {
        let Some(source) = self.by_id.get_mut(&id) else {
            return;
        };
        let Some(remote) = source.remote() else { return };
        let key_id = source.config.key_id;
        if key_id.is_some_and(|id| tools.keys.get(id).is_none()) {
            return;
        }
        let is_shared = source.is_peer() || self.rules.acquisition_port == Some(tools.ports.server_port());
        let shared = if is_shared {
            tools.ports.hold(remote.is_ipv6(), Holder::Asking(id), tools.out)
        } else {
            None
        };
        let header = source.compose(
            tools.now,
            ahead,
            tools.entropy,
            tools.keys,
            &tools.local,
            tools.timeline,
        );
        let Some(bytes) = tools.keys.seal(&header, key_id) else {
            return;
        };
        let socket = shared.unwrap_or_else(|| {
            let socket = tools.ports.fresh();
            source.socket = Some(socket);
            tools.out.push(Output::Open {
                socket,
                purpose: SocketUse::Client {
                    remote,
                    local_port: self.rules.acquisition_port.unwrap_or(0),
                },
            });
            let wait_s = source.config.max_delay_s + ANSWER_WAIT_S;
            tools
                .timers
                .set(Timer::GiveUp(id), tools.now.mono.plus_seconds(wait_s));
            socket
        });
        if shared.is_none() {
            self.of_socket.insert(socket, id);
        }
        tools.out.push(Output::Datagram {
            socket,
            to: remote,
            from: None,
            bytes,
        });
    }

    /// The source that a datagram is for: it comes from where that is asked.
    fn addressee(&self, incoming: &Incoming<'_>) -> Option<SourceId> {
        let id = match self.of_socket.get(&incoming.socket) {
            Some(id) => *id,
            None if incoming.packet.header.mode == Mode::Client => return None,
            None => self.at(incoming.from.ip())?,
        };
        let source = self.by_id.get(&id)?;
        // An IPv6 address comes with the link that it came in on, which is no part of it here.
        let end = |address: SocketAddr| (address.ip(), address.port());
        (source.remote().map(end) == Some(end(incoming.from))).then_some(id)
    }

    /// A valid answer came: what was waiting for it goes on.
    fn settle(&mut self, id: SourceId, judgement: &Judgement, tools: &mut Tools<'_>) {
        self.close(id, tools);
        if !judgement.ahead {
            self.plan_next(id, judgement.kiss, tools);
        }
        self.confirm(id, tools);
        self.refresh_in_turn(id, tools);
    }

    /// The answer may have changed the interval, or ended a burst.
    fn plan_next(&mut self, id: SourceId, kiss: Option<KissCode>, tools: &mut Tools<'_>) {
        let Some(source) = self.by_id.get_mut(&id) else {
            return;
        };
        let now = tools.now.mono;
        if let Some(kiss) = kiss {
            say_kiss(source, kiss, tools);
        }
        if !source.is_asked() {
            tools.timers.stop(Timer::Poll(id));
            return;
        }
        let sent_at = source.pending.as_ref().map_or(now, |pending| pending.sent_at);
        let mut wait_s = source.polling.wait_s();
        if kiss == Some(KissCode::Rate) {
            wait_s = source.polling.interval().as_seconds() * (1.0 + RATE_INTERVALS);
        }
        let due = sent_at.plus_seconds(wait_s);
        let mut at = sent_at
            .plus_seconds(spread(source, patience(source) * wait_s, self.round.lot))
            .max(now);
        if source.is_peer() {
            // Of two peers with the same interval the one that would be second answers the first at once, so that
            // packets go to and fro and do not cross on the way. What peers answer does not put off the next packet.
            if due <= now {
                at = now;
            } else if let Some(planned) = tools.timers.get(Timer::Poll(id)) {
                at = at.min(planned);
            }
        }
        tools.timers.set(Timer::Poll(id), at);
    }

    fn log(
        &self,
        id: SourceId,
        header: &Header,
        judgement: &Judgement,
        received: Stamp,
        tools: &mut Tools<'_>,
    ) {
        let logs = &self.rules.logs;
        let wanted = logs.contains(&LogKind::RawMeasurements)
            || (logs.contains(&LogKind::Measurements) && judgement.tests.synchronised());
        if let (true, Some(source)) = (wanted, self.by_id.get(&id)) {
            let line = MeasurementLine {
                header,
                judgement,
                received: received.at,
                received_by: received.source,
            };
            tools
                .out
                .line(LogFile::Measurements, source.measurement_line(&line));
        }
    }

    pub(super) fn log_statistics(
        &self,
        id: SourceId,
        before: Option<crate::estimate::State>,
        tools: &mut Tools<'_>,
    ) {
        let (true, Some(source)) = (
            self.rules.logs.contains(&LogKind::Statistics),
            self.by_id.get(&id),
        ) else {
            return;
        };
        let after = source.estimator.state();
        let stress = before.zip(after).map_or(0.0, |(before, after)| {
            (after.frequency - before.frequency).abs()
                / before.frequency_variance.max(f64::MIN_POSITIVE).sqrt()
        });
        let now = tools.now.mono;
        let line = source.statistics_line(
            tools.timeline.wall(now),
            tools.timeline.correction_s(now) + tools.local.remaining_s,
            tools.local.frequency,
            stress,
        );
        if let Some(line) = line {
            tools.out.line(LogFile::Statistics, line);
        }
    }
}

/// By how much the wait for the next packet to a source is longer than its interval.
fn patience(source: &Source) -> f64 {
    let is_answered = source.pending.as_ref().is_some_and(|pending| pending.answered);
    let asks_as_often = source
        .last_answer
        .as_ref()
        .is_some_and(|answer| answer.header.poll <= source.polling.interval());
    if source.is_peer() && !(is_answered && asks_as_often) {
        PEER_PATIENCE
    } else {
        1.0
    }
}

/// Says what a server answered instead of the time. RATE slows us down and is said every time; others do not
/// stop us, because anybody on the way could have sent them, and are said when they are new.
fn say_kiss(source: &mut Source, kiss: KissCode, tools: &mut Tools<'_>) {
    let name = source.place();
    match kiss {
        KissCode::Rate => {
            source.polling.end_burst();
            tools
                .out
                .info_about(Topic::SourceEvent, format!("Received KoD RATE from {name}"));
        }
        KissCode::Deny | KissCode::Restrict => {
            let word = kiss.reference_id().ascii();
            if source.kissed.replace(kiss) != Some(kiss) {
                tools
                    .out
                    .info_about(Topic::SourceEvent, format!("Received KoD {word} from {name}"));
            }
        }
        KissCode::NtsNak | KissCode::Other(_) => {}
    }
}

/// A wait that is spread, so that many clients do not ask at the same time, nor one client always at the same
/// phase of something that repeats; `lot` has 64 random bits.
fn spread(source: &Source, wait_s: f64, lot: u64) -> f64 {
    let share = f64::from(u32::try_from(lot >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    let (shortest, _) = source.polling.limits();
    let has_grown = source.polling.burst().is_none() && source.polling.interval().0 > shortest;
    let share = if has_grown { -share } else { share };
    wait_s * (1.0 + SPREAD * share)
}
