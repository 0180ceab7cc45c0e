//! What stands around the rows: how many there are, the heads of the columns, the way to other pages.

use askama::Template;
use askama::filters::HtmlSafe;

use crate::ui::text::shown;
use crate::ui::view::{Chosen, PAGE_HOSTS, Sort, View};

/// How many hosts are shown out of how many.
#[derive(Clone, Debug, PartialEq, Template)]
#[template(path = "parts/count.html")]
pub(crate) struct Count {
    matching: usize,
    total: usize,
    everything: bool,
    pages: usize,
    /// Query of the view without the filter.
    all: String,
}

/// The heads of the columns; each orders the table.
#[derive(Clone, Debug, PartialEq, Template)]
#[template(path = "parts/head.html")]
pub(crate) struct Head {
    columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    word: &'static str,
    slug: &'static str,
    /// How the table is ordered by it now.
    order: Option<&'static str>,
    /// Query of the view ordered by it.
    query: String,
}

/// The way to the next and the former page.
#[derive(Clone, Debug, PartialEq, Template)]
#[template(path = "parts/pager.html")]
pub(crate) struct Pager {
    first: usize,
    last: usize,
    matching: usize,
    former: Option<String>,
    next: Option<String>,
}

/// What is said in place of a table without rows.
#[derive(Clone, Debug, PartialEq, Template)]
#[template(path = "parts/nothing.html")]
pub(crate) struct Nothing {
    /// No host belongs to the fleet.
    no_fleet: bool,
    /// None passes the filter.
    no_match: bool,
    /// Address that agents dial.
    link: String,
    all: String,
}

// The templates escape what they show.
impl HtmlSafe for Count {}
impl HtmlSafe for Head {}
impl HtmlSafe for Pager {}
impl HtmlSafe for Nothing {}

impl Count {
    pub(crate) fn of(chosen: &Chosen<'_>, total: usize, view: &View) -> Self {
        Count {
            matching: chosen.matching,
            total,
            everything: view.is_everything(),
            pages: chosen.matching.div_ceil(PAGE_HOSTS),
            all: everything(view),
        }
    }

    fn hosts(count: usize) -> &'static str {
        if count == 1 { "host" } else { "hosts" }
    }
}

impl Head {
    pub(crate) fn of(view: &View) -> Self {
        let column = |sort: Sort| Column {
            word: sort.word(),
            slug: sort.slug(),
            order: (sort == view.sort).then_some({
                if sort.is_descending() == view.reverse {
                    "ascending"
                } else {
                    "descending"
                }
            }),
            query: view.sorted(sort).query(),
        };
        Head {
            columns: Sort::ALL.into_iter().map(column).collect(),
        }
    }
}

impl Pager {
    pub(crate) fn of(chosen: &Chosen<'_>, view: &View) -> Self {
        let page = chosen.first / PAGE_HOSTS;
        let last = chosen.first + chosen.hosts.len();
        Pager {
            first: chosen.first + 1,
            last,
            matching: chosen.matching,
            former: page.checked_sub(1).map(|page| view.at_page(page).query()),
            next: (last < chosen.matching).then(|| view.at_page(page + 1).query()),
        }
    }

    fn is_needed(&self) -> bool {
        self.former.is_some() || self.next.is_some()
    }
}

impl Nothing {
    pub(crate) fn of(chosen: &Chosen<'_>, total: usize, view: &View, link: &str) -> Self {
        Nothing {
            no_fleet: total == 0,
            no_match: total > 0 && chosen.matching == 0,
            link: shown(link),
            all: everything(view),
        }
    }
}

fn everything(view: &View) -> String {
    View {
        text: String::new(),
        ..view.choosing(None)
    }
    .query()
}
