//! Commands about sources.

use conf::config::SourceName;
use wire::candm::{
    AddSource, Address, AddressMask, ReferenceId, SelectOptions, SelectOptionsChange, SourceFlags, Status,
};

use super::{new_source, reports};
use crate::Engine;
use crate::control::operate::Setting;
use crate::control::report::Place;
use crate::io::Now;
use crate::source::SourceId;
use crate::source::poll::Burst;
use crate::sources::Origin;
use crate::sources::add::{AddError, is_of_family};
use crate::sources::switch::Which;

pub(super) fn set_online(engine: &mut Engine, now: Now, mask: AddressMask) -> Result<(), Status> {
    let which = which(engine, mask)?;
    some(engine.ask(now, |sources, tools| sources.online(which, tools)))
}

pub(super) fn set_offline(engine: &mut Engine, now: Now, mask: AddressMask) -> Result<(), Status> {
    let which = which(engine, mask)?;
    let count = engine.ask(now, |sources, tools| sources.offline(which, tools));
    // Who is not asked any more cannot be reached, and perhaps nobody is left to follow.
    engine.consider(now.mono, None);
    some(count)
}

pub(super) fn burst(
    engine: &mut Engine,
    now: Now,
    mask: AddressMask,
    good_samples: i32,
    total_samples: i32,
) -> Result<(), Status> {
    let which = which(engine, mask)?;
    let number = |count: i32| u8::try_from(count.clamp(0, i32::from(u8::MAX))).unwrap_or(0);
    let burst = Burst {
        good: number(good_samples),
        total: number(total_samples),
    };
    some(engine.ask(now, |sources, tools| sources.burst(which, burst, tools)))
}

pub(super) fn add(engine: &mut Engine, now: Now, source: &AddSource) -> Result<(), Status> {
    let config = new_source::read(source)?;
    if let SourceName::Address(address) = &config.name
        && !is_of_family(*address, engine.config.family)
    {
        return Err(Status::InvalidAddressFamily);
    }
    let added = engine.ask(now, |sources, tools| sources.add(config, Origin::Command, tools));
    added.map(|_| ()).map_err(|error| match error {
        AddError::AlreadyInUse => Status::SourceAlreadyKnown,
        AddError::TooMany => Status::TooManySources,
        AddError::InvalidAddress => Status::InvalidAddressFamily,
        AddError::InvalidName => Status::InvalidName,
    })
}

pub(super) fn delete(engine: &mut Engine, now: Now, address: Address) -> Result<(), Status> {
    let id = find(engine, address)?;
    engine.ask(now, |sources, tools| sources.remove(id, tools));
    Ok(())
}

pub(super) fn modify(engine: &mut Engine, address: Address, setting: Setting) -> Result<(), Status> {
    let id = find(engine, address)?;
    engine.modify(id, setting);
    Ok(())
}

pub(super) fn set_options(engine: &mut Engine, change: &SelectOptionsChange) -> Result<(), Status> {
    let value = |option, flag| {
        change
            .mask
            .contains(option)
            .then(|| change.options.contains(flag))
    };
    let setting = Setting::Select {
        noselect: value(SelectOptions::NOSELECT, SourceFlags::NOSELECT),
        prefer: value(SelectOptions::PREFER, SourceFlags::PREFER),
        trust: value(SelectOptions::TRUST, SourceFlags::TRUST),
        require: value(SelectOptions::REQUIRE, SourceFlags::REQUIRE),
    };
    modify_any(engine, change.address, change.reference_id, setting)
}

/// The same for a source that may be a reference clock: it has no address.
pub(super) fn modify_any(
    engine: &mut Engine,
    address: Address,
    reference_id: ReferenceId,
    setting: Setting,
) -> Result<(), Status> {
    let id = match address {
        Address::Unspecified => {
            let place = Place::ReferenceClock(units::ReferenceId(reference_id.0));
            engine.source_in(place).ok_or(Status::NoSuchSource)?
        }
        _ => find(engine, address)?,
    };
    engine.modify(id, setting);
    Ok(())
}

pub(super) fn set_reselect_distance(engine: &mut Engine, distance_s: f64) {
    engine.config.selection.reselect_distance_s = distance_s.max(0.0);
    engine.out.info(format!("New reselect distance {distance_s:.6}"));
}

pub(super) fn dump(engine: &mut Engine, now: Now) {
    if engine.config.dump_dir.is_some() {
        engine.ask(now, |sources, tools| sources.dump(tools));
    }
}

fn find(engine: &Engine, address: Address) -> Result<SourceId, Status> {
    reports::find(engine, address).ok_or(Status::NoSuchSource)
}

/// The sources that a mask means.
fn which(engine: &Engine, mask: AddressMask) -> Result<Which, Status> {
    match (mask.address, mask.address.ip(), mask.mask.ip()) {
        (Address::Unspecified, _, _) => Ok(Which::All),
        (Address::Id(_), _, _) => find(engine, mask.address).map(Which::One),
        (_, Some(address), Some(mask)) if address.is_ipv4() == mask.is_ipv4() => {
            Ok(Which::Masked { mask, address })
        }
        _ => Err(Status::NoSuchSource),
    }
}

/// A command that was about nobody has failed.
fn some(count: usize) -> Result<(), Status> {
    if count == 0 {
        Err(Status::NoSuchSource)
    } else {
        Ok(())
    }
}
