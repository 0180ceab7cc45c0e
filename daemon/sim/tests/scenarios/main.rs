//! What the engine does in worlds that are as bad as they come, each of them with a hundred seeds or more.

mod accuracy;
mod any_world;
mod asymmetric_path;
mod busy_host;
mod chain;
mod cold_start;
mod drift;
mod external_step;
mod fallback;
mod falseticker;
mod first_measurement;
mod frequency_change;
mod leap_second;
mod lying_servers;
mod makestep;
mod names;
mod operator;
mod outage;
mod peers;
mod polling;
mod rtc;
mod smoothing;
mod suspend;
mod tiers;
mod wrong_by_40_years;
