//! Changes of the hosts' page as server-sent events.
//!
//! Once a second there is one event: `update`, a fragment of HTML with what has changed of the view, or
//! `alive`, the controller's time of day when nothing has. A page that hears neither knows that its values
//! are old. The first event has everything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::board::{PERIOD, Snapshot};
use super::pages::hosts::Screen;
use super::view::{self, View};
use super::{Asked, Ui, asked, clock, missing};
use crate::http::{SignedIn, signed_in};
use crate::shares::Share;

/// How soon a browser comes back after a broken stream.
const RETRY: Duration = Duration::from_secs(1);

/// Opens the stream of a view.
pub(super) async fn open(
    State(ui): State<Ui>,
    SignedIn(session): SignedIn,
    headers: HeaderMap,
    query: Asked<view::Query>,
) -> Response {
    let session = match session {
        None => return StatusCode::UNAUTHORIZED.into_response(),
        Some(session) if missing(&session).is_some() => return StatusCode::FORBIDDEN.into_response(),
        Some(session) => session,
    };
    let Ok(place) = ui.streams.take(&session.caller.subject) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch {
        stopping: ui.api.stopping(),
        ui,
        headers,
        view: Arc::new(View::from(asked(query))),
        ticks,
        shown: None,
        _place: place,
    };
    let events = stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(event), watch))
    });
    // Otherwise some reverse proxies keep the events until there are many.
    let unbuffered = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    ([unbuffered], Sse::new(events)).into_response()
}

/// One page that is kept current.
struct Watch {
    ui: Ui,
    headers: HeaderMap,
    view: Arc<View>,
    ticks: Interval,
    stopping: watch::Receiver<bool>,
    shown: Option<Arc<Shown>>,
    _place: Share,
}

/// What the page shows, and what it was made from.
struct Shown {
    snapshot: Arc<Snapshot>,
    screen: Screen,
}

impl Watch {
    /// Waits for the next second and tells it; `None` when the session is over, or the controller stops.
    async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            _ = self.ticks.tick() => {}
            _ = self.stopping.wait_for(|stopping| *stopping) => return None,
        }
        signed_in(&self.ui.api, &self.headers)?;
        let (ui, view, before) = (self.ui.clone(), Arc::clone(&self.view), self.shown.clone());
        // For ten thousand hosts this takes a while in which the executor has other things to do.
        let made = tokio::task::spawn_blocking(move || Shown::after(before.as_ref(), &ui, &view)).await;
        let (shown, update) = match made {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => {
                tracing::error!(%error, "an update of the hosts' page could not be made");
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "an update of the hosts' page was given up");
                return None;
            }
        };
        let first = self.shown.replace(shown).is_none();
        let event = match update {
            Some(update) => Event::default().event("update").data(update),
            None => Event::default()
                .event("alive")
                .data(clock::second(Timestamp::now())),
        };
        Some(if first { event.retry(RETRY) } else { event })
    }
}

impl Shown {
    /// What is to be shown now, and how it differs from before.
    fn after(
        before: Option<&Arc<Shown>>,
        ui: &Ui,
        view: &View,
    ) -> askama::Result<(Arc<Shown>, Option<String>)> {
        let snapshot = ui.snapshot();
        if let Some(before) = before
            && Arc::ptr_eq(&before.snapshot, &snapshot)
        {
            return Ok((Arc::clone(before), None));
        }
        let screen = Screen::of(&snapshot, view, &ui.link());
        let update = screen.update(before.map(|before| &before.screen))?;
        Ok((Arc::new(Shown { snapshot, screen }), update))
    }
}
