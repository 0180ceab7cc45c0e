//! Commands about the clock.

use conf::config::{Local, MakeStep};
use units::UnixTime;
use wire::candm::{
    LegacyLocalReference, LocalReference, ManualMode, ManualTimestamp, Reply, SmoothTimeAction, Status,
    Timespec,
};

use super::Outcome;
use crate::Engine;
use crate::control::manual::ManualSample;
use crate::io::Now;
use crate::timeline::SANE_TIMES;

pub(super) fn make_step(engine: &mut Engine, now: Now) -> Result<(), Status> {
    if engine.options.observe {
        engine.out.warn("Could not step system clock");
        return Err(Status::Failed);
    }
    engine.discipline.step_now(
        now.mono,
        &mut engine.timeline,
        &mut engine.timers,
        &mut engine.out,
    );
    engine.move_origin();
    Ok(())
}

pub(super) fn set_make_step(engine: &mut Engine, limit: i32, threshold_s: f64) {
    let rule = MakeStep::both(threshold_s, u32::try_from(limit).ok());
    engine.discipline.set_make_step(Some(rule));
    engine.out.info(format!("New makestep {threshold_s:.6} {limit}"));
}

pub(super) fn set_max_update_skew(engine: &mut Engine, skew_ppm: f64) {
    engine.discipline.set_max_update_skew_ppm(skew_ppm);
    engine.out.info(format!("New maxupdateskew {skew_ppm:.6} ppm"));
}

pub(super) fn add_frequency(engine: &mut Engine, now: Now, gain_ppm: f64) {
    engine
        .discipline
        .add_gain_ppm(now.mono, gain_ppm, &engine.timeline, &mut engine.out);
    engine
        .out
        .info(format!("Accumulated delta freq of {gain_ppm:.3}ppm"));
}

/// Positive: the clock is taken to be that much more ahead.
pub(super) fn add_offset(engine: &mut Engine, now: Now, ahead_s: f64) {
    let (timeline, timers) = (&engine.timeline, &mut engine.timers);
    engine
        .discipline
        .add_offset_s(now.mono, -ahead_s, timeline, timers, &mut engine.out);
    engine
        .out
        .info(format!("Accumulated delta offset of {ahead_s:.6} seconds"));
}

pub(super) fn smooth(engine: &mut Engine, now: Now, action: SmoothTimeAction) -> Result<(), Status> {
    let (discipline, out) = (&mut engine.discipline, &mut engine.out);
    let is_configured = match action {
        SmoothTimeAction::Activate => discipline.activate_smoothing(out),
        SmoothTimeAction::Reset => discipline.reset_smoothing(now.mono, &engine.timeline, out),
    };
    is_configured.then_some(()).ok_or(Status::NotEnabled)
}

pub(super) fn trim_rtc(engine: &mut Engine, now: Now) -> Result<(), Status> {
    engine.trim_rtc(now.mono).then_some(()).ok_or(Status::NoRtc)
}

pub(super) fn write_rtc(engine: &mut Engine, now: Now) -> Result<(), Status> {
    if engine.rtc.is_none() {
        return Err(Status::NoRtc);
    }
    engine.write_rtc_file(now.mono);
    Ok(())
}

pub(super) fn set_local(engine: &mut Engine, local: &LocalReference) -> Result<(), Status> {
    let stratum = stratum(local.enabled, local.stratum)?;
    let rule = local.enabled.then_some(Local {
        stratum,
        distance_s: local.distance_s,
        activate_s: local.activate_s,
        orphan: local.orphan,
        wait_synced_s: local.wait_synced_s,
        wait_unsynced_s: local.wait_unsynced_s,
    });
    enforce_local(engine, rule);
    Ok(())
}

pub(super) fn set_legacy_local(engine: &mut Engine, local: &LegacyLocalReference) -> Result<(), Status> {
    let stratum = stratum(local.enabled, local.stratum)?;
    let rule = local.enabled.then_some(Local {
        stratum,
        distance_s: local.distance_s,
        orphan: local.orphan,
        wait_unsynced_s: Local::default_wait_unsynced_s(local.orphan),
        ..Local::default()
    });
    enforce_local(engine, rule);
    Ok(())
}

fn stratum(enabled: bool, stratum: i32) -> Result<u8, Status> {
    match u8::try_from(stratum) {
        Ok(stratum @ 1..=15) => Ok(stratum),
        _ if enabled => Err(Status::Invalid),
        _ => Ok(0),
    }
}

fn enforce_local(engine: &mut Engine, rule: Option<Local>) {
    let what = if rule.is_some() { "Enabled" } else { "Disabled" };
    engine.local.set_rule(rule);
    engine.out.info(format!("{what} local reference mode"));
}

pub(super) fn set_manual(engine: &mut Engine, mode: ManualMode) {
    let manual = &mut engine.control.manual;
    match mode {
        ManualMode::Disable => manual.enabled = false,
        ManualMode::Enable => manual.enabled = true,
        ManualMode::Reset => manual.reset(),
    }
}

/// Takes a typed time: offset and frequency of the clock follow the line through all of them.
pub(super) fn set_time(engine: &mut Engine, now: Now, typed: Timespec) -> Outcome {
    if !engine.control.manual.enabled {
        return Err(Status::NotEnabled);
    }
    if !SANE_TIMES.contains(&typed.seconds()) {
        return Err(Status::Failed);
    }
    let typed = UnixTime::from_parts(typed.seconds(), i64::from(typed.nanoseconds()));
    let at = engine.timeline.oscillator(now.mono);
    let system_offset_s = typed.seconds_since(engine.timeline.wall(now.mono));
    let offset_s = system_offset_s - engine.discipline.remaining_s(now.mono, &engine.timeline);
    let phase_s = system_offset_s + engine.timeline.correction_s(now.mono);
    let sample = ManualSample {
        time: typed,
        at,
        phase_s,
        offset_s,
    };
    let line = engine.control.manual.add(sample).ok_or(Status::Failed)?;
    // What the line says of the offset, where the typed time itself said `offset_s`.
    let offset_s = offset_s + line.phase_s - phase_s;
    let gain_ppm = -engine.discipline.frequency() * 1e6;
    let change_ppm = line
        .frequency
        .map_or(0.0, |frequency| -frequency * 1e6 - gain_ppm);
    engine.out.info(if line.frequency.is_some() {
        format!(
            "Making a frequency change of {change_ppm:.3} ppm and a slew of {:.6}",
            -offset_s
        )
    } else {
        format!("Making a slew of {:.6}", -offset_s)
    });
    follow(engine, now, offset_s);
    Ok(Reply::ManualTimestamp(ManualTimestamp {
        offset_s: -offset_s,
        frequency_change_ppm: change_ppm,
        frequency_ppm: -engine.discipline.frequency() * 1e6,
    }))
}

/// Deletes a typed time; those that are left decide.
pub(super) fn delete_manual(engine: &mut Engine, now: Now, index: i32) -> Result<(), Status> {
    let index = usize::try_from(index).map_err(|_| Status::BadSample)?;
    if !engine.control.manual.delete(index) {
        return Err(Status::BadSample);
    }
    let at = engine.timeline.oscillator(now.mono);
    let target_s =
        engine.timeline.correction_s(now.mono) + engine.discipline.remaining_s(now.mono, &engine.timeline);
    if let Some(line) = engine.control.manual.line() {
        follow(engine, now, line.phase_at(at) - target_s);
    }
    Ok(())
}

/// Follows the line through the typed times, which says that the clock is off by `offset_s`.
fn follow(engine: &mut Engine, now: Now, offset_s: f64) {
    let Some(line) = engine.control.manual.line() else {
        return;
    };
    let phase_s = line.phase_at(engine.timeline.oscillator(now.mono));
    let typed = (phase_s, line.frequency, offset_s);
    let (timeline, timers) = (&mut engine.timeline, &mut engine.timers);
    let is_stepped = engine
        .discipline
        .follow_hand(now.mono, typed, timeline, timers, &mut engine.out);
    if is_stepped {
        engine.move_origin();
    }
}
