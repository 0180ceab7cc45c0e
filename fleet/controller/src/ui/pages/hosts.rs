//! The fleet's hosts, as one whole page and as what has changed of it.

use std::collections::HashMap;

use askama::Template;
use jiff::Timestamp;

use crate::ui::board::Snapshot;
use crate::ui::clock;
use crate::ui::parts::{Count, Head, Nothing, Pager, Pending, Row, Summary};
use crate::ui::view::{Only, Sort, View};

/// What somebody sees at one moment.
pub(crate) struct Screen {
    at: Timestamp,
    title: String,
    summary: Summary,
    pending: Pending,
    count: Count,
    head: Head,
    pager: Pager,
    nothing: Nothing,
    rows: Vec<Row>,
}

/// Who looks.
pub(crate) struct Viewer {
    /// Name in the session's token.
    pub(crate) name: String,
    /// Token that proves that a form comes from this page.
    pub(crate) csrf: String,
}

/// The whole page.
#[derive(Template)]
#[template(path = "pages/hosts.html")]
struct Page<'a> {
    screen: &'a Screen,
    view: &'a View,
    viewer: &'a Viewer,
    rows: Vec<String>,
}

/// What has changed, as a fragment: elements with ids, and a table of rows.
#[derive(Template)]
#[template(path = "pages/update.html")]
struct Update<'a> {
    screen: &'a Screen,
    summary: Option<&'a Summary>,
    pending: Option<&'a Pending>,
    count: Option<&'a Count>,
    head: Option<&'a Head>,
    pager: Option<&'a Pager>,
    nothing: Option<&'a Nothing>,
    /// Ids of the rows in order, when there are others than before.
    order: Option<String>,
    rows: Vec<String>,
}

impl Screen {
    /// What `view` shows of the fleet.
    pub(crate) fn of(snapshot: &Snapshot, view: &View, link: &str) -> Self {
        let chosen = view.choose(&snapshot.hosts);
        let total = snapshot.hosts.len();
        let rows = chosen.hosts.iter().map(|host| {
            let id = host.machine_id.as_deref().unwrap_or_default();
            Row::of(host, view.toggled(id).query(), view.is_open(id))
        });
        Screen {
            at: snapshot.at,
            title: snapshot.summary.title(),
            summary: snapshot.summary.clone(),
            pending: Pending::of(&snapshot.pending),
            count: Count::of(&chosen, total, view),
            head: Head::of(view),
            pager: Pager::of(&chosen, view),
            nothing: Nothing::of(&chosen, total, view, link),
            rows: rows.collect(),
        }
    }

    /// Renders the whole page.
    ///
    /// # Errors
    /// None in practice: writing to memory cannot fail.
    pub(crate) fn page(&self, view: &View, viewer: &Viewer) -> askama::Result<String> {
        let rows = self
            .rows
            .iter()
            .map(|row| row.html(self.at))
            .collect::<Result<_, _>>()?;
        Page {
            screen: self,
            view,
            viewer,
            rows,
        }
        .render()
    }

    /// Renders what is other than `before`; everything without it, nothing when there is no difference.
    ///
    /// # Errors
    /// None in practice: writing to memory cannot fail.
    pub(crate) fn update(&self, before: Option<&Screen>) -> askama::Result<Option<String>> {
        fn other<'a, T: PartialEq>(now: &'a T, before: Option<&T>) -> Option<&'a T> {
            Some(now).filter(|_| before != Some(now))
        }
        let known: HashMap<&str, &Row> = before
            .iter()
            .flat_map(|before| &before.rows)
            .map(|row| (row.id.as_str(), row))
            .collect();
        let rows: Vec<String> = self
            .rows
            .iter()
            .filter(|row| known.get(row.id.as_str()) != Some(row))
            .map(|row| row.html(self.at))
            .collect::<Result<_, _>>()?;
        let ids = |screen: &Screen| {
            screen
                .rows
                .iter()
                .map(|row| row.id.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let order = Some(ids(self)).filter(|order| before.map(ids).as_ref() != Some(order));
        let update = Update {
            screen: self,
            summary: other(&self.summary, before.map(|screen| &screen.summary)),
            pending: other(&self.pending, before.map(|screen| &screen.pending)),
            count: other(&self.count, before.map(|screen| &screen.count)),
            head: other(&self.head, before.map(|screen| &screen.head)),
            pager: other(&self.pager, before.map(|screen| &screen.pager)),
            nothing: other(&self.nothing, before.map(|screen| &screen.nothing)),
            order,
            rows,
        };
        if update.is_empty() {
            return Ok(None);
        }
        update.render().map(Some)
    }

    fn time(&self) -> String {
        clock::second(self.at)
    }
}

impl Update<'_> {
    fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.order.is_none()
            && self.summary.is_none()
            && self.pending.is_none()
            && self.count.is_none()
            && self.head.is_none()
            && self.pager.is_none()
            && self.nothing.is_none()
    }
}

impl Page<'_> {
    fn choices(&self) -> [Only; 6] {
        Only::ALL
    }

    fn orders(&self) -> [Sort; 8] {
        Sort::ALL
    }
}
