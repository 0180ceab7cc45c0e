//! The web page in a real browser: headless Chromium against a controller with simulated agents.
//!
//! Pictures are left in `screenshots/` below cargo's directory for test files; they are to be looked at.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test cannot start is a failed test"
)]

#[path = "browser/agents.rs"]
mod agents;
#[path = "browser/cable.rs"]
mod cable;
#[path = "browser/chrome.rs"]
mod chrome;
#[path = "browser/fleet.rs"]
mod fleet;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use agents::Agent;
use cable::Cable;
use chrome::{Chrome, Look};
use controller::settings::Listen;
use controller::{Running, Settings};
use fantoccini::Locator;
use fleet::{Manner, Simulated, fleet};
use model::ntp::SyncState;

const DESK: Look = Look {
    width: 1280,
    height: 800,
    dark: false,
};

fn settings(data: &Path, api: SocketAddr) -> Settings {
    Settings {
        api: Listen::Exactly(api),
        heartbeat: Duration::from_secs(1),
        ..Settings::local(data.to_owned())
    }
}

/// A controller with its data.
struct Bench {
    running: Running,
    data: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let running = controller::start(settings(data.path(), "127.0.0.1:0".parse().unwrap()));
        Bench {
            running: running.await.unwrap(),
            data,
        }
    }

    /// Stops the controller; gives what is needed to start it again.
    async fn stop(self) -> (tempfile::TempDir, SocketAddr) {
        let api = self.running.api;
        self.running.stop().await;
        (self.data, api)
    }

    async fn agent(&self, simulated: Simulated) -> Agent {
        let enrolment = self.running.controller().enrolment();
        let token = match simulated.manner {
            Manner::Waits => None,
            Manner::Reports | Manner::FallsSilent => {
                let token = enrolment.create(Duration::from_secs(600), 1).await.unwrap().token;
                Some(token.parse().unwrap())
            }
        };
        let address = self.running.link.to_string();
        let agent = Agent::start(&address, token.as_ref(), simulated.facts, simulated.report).await;
        if simulated.manner == Manner::FallsSilent {
            tokio::time::sleep(Duration::from_millis(200)).await;
            agent.fall_silent();
        }
        agent
    }

    fn token(&self) -> String {
        std::fs::read_to_string(&self.running.admin_token)
            .unwrap()
            .trim()
            .to_owned()
    }

    async fn sign_in(&self, chrome: &Chrome) {
        self.sign_in_at(chrome, &self.running.url).await;
    }

    async fn sign_in_at(&self, chrome: &Chrome, url: &str) {
        chrome.page.goto(url).await.unwrap();
        chrome.keys("input[name=token]", &self.token()).await;
        chrome.click("button[type=submit]").await;
        chrome.eventually("the page is live", LIVE).await;
    }
}

const LIVE: &str = "document.querySelector('#live')?.dataset.state === 'live'";

/// Script: the names of the rows in order.
const NAMES: &str = "[...document.querySelectorAll('#hosts .line .name')].map(name => name.textContent)";

fn named<'a>(fleet: &'a mut [Option<(String, Agent)>], name: &str) -> &'a mut Option<(String, Agent)> {
    fleet
        .iter_mut()
        .find(|host| host.as_ref().is_some_and(|(known, _)| known == name))
        .unwrap()
}

async fn start_fleet(bench: &Bench) -> Vec<Option<(String, Agent)>> {
    let mut agents = Vec::new();
    for simulated in fleet() {
        let name = simulated.facts.hostname.clone();
        agents.push(Some((name, bench.agent(simulated).await)));
    }
    agents
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_looks_at_the_fleet() {
    let bench = Bench::start().await;
    let mut agents = start_fleet(&bench).await;
    let chrome = Chrome::start().await;
    chrome.look(DESK).await;

    // --- signing in
    chrome.page.goto(&bench.running.url).await.unwrap();
    assert!(
        chrome
            .page
            .current_url()
            .await
            .unwrap()
            .path()
            .ends_with("/sign-in")
    );
    chrome.keys("input[name=token]", "not.a.token").await;
    chrome.click("button[type=submit]").await;
    chrome
        .eventually("a wrong token is refused", "document.querySelector('.error')")
        .await;
    chrome.picture("sign-in-refused", false).await;
    bench.sign_in(&chrome).await;
    assert_eq!(chrome.page.current_url().await.unwrap().path(), "/");

    // --- everybody is there
    chrome
        .eventually(
            "silence is seen",
            "document.querySelectorAll('#hosts .no-word.old').length === 2",
        )
        .await;
    let count = chrome
        .value("document.querySelector('.figure.total .number').textContent")
        .await;
    assert_eq!(count, agents.len().saturating_sub(2).to_string());
    assert_eq!(
        chrome
            .value("document.querySelectorAll('#pending li').length")
            .await,
        2
    );
    pictures(&chrome, "hosts").await;

    // --- a change appears without a reload, and the keyboard's place stays
    chrome
        .value("document.querySelector('#hosts a.toggle').focus()")
        .await;
    chrome.value("void (window.sameWindow = true)").await;
    let focused = "document.activeElement.querySelector('.name').textContent";
    let before = chrome.value(focused).await;
    let (_, web) = named(&mut agents, "web-03").as_ref().unwrap();
    web.report(|report| {
        let ntp = report.ntp.as_mut().unwrap();
        ntp.state = SyncState::Unsynchronized;
        ntp.error_bound_s = Some(0.77);
    });
    let gone = "[...document.querySelectorAll('tbody.not-synchronised .name')].some(n => n.textContent === 'web-03')";
    chrome
        .eventually("web-03 is shown as not synchronised", gone)
        .await;
    let worst = "document.querySelector('.worst .name').textContent === 'web-03'";
    chrome.eventually("web-03 is the worst", worst).await;
    assert_eq!(chrome.value(focused).await, before, "focus has wandered");
    assert_eq!(
        chrome.value("window.sameWindow").await,
        true,
        "the page was loaded again"
    );

    // --- filter, and changes go on
    chrome.keys("input[name=q]", "group:db").await;
    chrome
        .eventually("only databases", &format!("{NAMES}.length === 4"))
        .await;
    assert!(
        chrome
            .page
            .current_url()
            .await
            .unwrap()
            .query()
            .unwrap()
            .contains("group%3Adb")
    );
    let (_, db) = named(&mut agents, "db-02.fra1.example.com").as_ref().unwrap();
    db.report(|report| report.ntp.as_mut().unwrap().offset_s = Some(0.25));
    chrome
        .eventually(
            "the offset of db-02",
            "document.querySelector('#hosts').textContent.includes('+250 ms')",
        )
        .await;
    assert_eq!(chrome.value(&format!("{NAMES}.length")).await, 4);
    chrome.keys("input[name=q]", " nobody").await;
    chrome
        .eventually("nothing matches", "!document.querySelector('#nothing').hidden")
        .await;
    chrome.click("#nothing a").await;
    chrome
        .eventually("all of them again", &format!("{NAMES}.length > 20"))
        .await;
    assert_eq!(
        chrome
            .value("document.querySelector('input[name=q]').value")
            .await,
        ""
    );

    // --- order
    chrome.click("th.c-host a").await;
    chrome
        .eventually(
            "ordered by name",
            "document.querySelector('th.c-host').ariaSort === 'ascending'",
        )
        .await;
    let names = chrome.value(NAMES).await;
    assert_eq!(names[0], "ci-runner-a");
    chrome.click("th.c-host a").await;
    chrome
        .eventually("the other way round", &format!("{NAMES}[0] === 'web-09'"))
        .await;
    chrome.click("th.c-bound a").await;
    chrome
        .eventually("the largest bound first", &format!("{NAMES}[0] === 'web-03'"))
        .await;

    // --- details
    chrome
        .value("[...document.querySelectorAll('a.toggle')].find(a => a.textContent === 'mail-01').click()")
        .await;
    chrome
        .eventually("details are open", "document.querySelector('.details .sources')")
        .await;
    let details = chrome
        .value("document.querySelector('.details').textContent")
        .await;
    for part in [
        "timeball.sources was changed",
        "chrony 4.3",
        "377",
        "365",
        "ntp3.lab.example.com",
        "0.1.0",
        "debian 12",
    ] {
        assert!(
            details.as_str().unwrap().contains(part),
            "{part} is not in {details}"
        );
    }
    chrome
        .value("[...document.querySelectorAll('a.toggle')].find(a => a.textContent === 'visitor').click()")
        .await;
    chrome
        .eventually(
            "two are open",
            "document.querySelectorAll('.details').length === 2",
        )
        .await;
    assert_eq!(
        chrome
            .value("document.querySelectorAll('main img, main script').length")
            .await,
        0
    );
    pictures(&chrome, "details").await;
    chrome.keys("input[name=q]", "mail").await;
    chrome
        .eventually("the mail hosts", &format!("{NAMES}.length === 2"))
        .await;
    pictures(&chrome, "details-alone").await;

    // --- without a script the same address shows the same
    let html = as_served(&chrome, "location.href").await;
    assert!(html.contains("timeball.sources was changed"), "{html}");

    // --- signing out
    assert_eq!(chrome.complaints().await, Vec::<String>::new());
    chrome.click(".sign-out button").await;
    chrome
        .eventually("signed out", "location.pathname.endsWith('/sign-in')")
        .await;
    chrome.page.goto(&bench.running.url).await.unwrap();
    chrome
        .eventually("still signed out", "document.querySelector('input[name=token]')")
        .await;
    pictures(&chrome, "sign-in").await;
    chrome
        .page
        .goto(&format!("{}/nowhere", bench.running.url))
        .await
        .unwrap();
    let text = chrome
        .page
        .find(Locator::Css("h1"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(text, "There is no such page");
    drop(agents);
}

/// The page at an address as the server gives it, without what the script made of it.
async fn as_served(chrome: &Chrome, address: &str) -> String {
    let script = format!("const done = arguments[0]; fetch({address}).then(a => a.text()).then(done)");
    chrome
        .page
        .execute_async(&script, vec![])
        .await
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_fleet_says_how_to_begin_and_a_lost_connection_is_told() {
    let bench = Bench::start().await;
    let chrome = Chrome::start().await;
    chrome.look(DESK).await;
    bench.sign_in(&chrome).await;
    let text = chrome
        .value("document.querySelector('#nothing').textContent")
        .await;
    let link = bench.running.link.to_string();
    assert!(
        text.as_str()
            .unwrap()
            .contains(&format!("timeball agent --controller {link}")),
        "{text}"
    );
    pictures(&chrome, "empty").await;

    let host = fleet().remove(0);
    let agent = bench.agent(host).await;
    chrome
        .eventually("the first host appears", &format!("{NAMES}.length === 1"))
        .await;
    chrome
        .eventually("with its state", "document.querySelector('tbody.synchronised')")
        .await;
    assert_eq!(
        chrome.value("document.querySelector('#nothing').hidden").await,
        true
    );
    assert_eq!(chrome.complaints().await, Vec::<String>::new());

    let (data, api) = bench.stop().await;
    drop(agent);
    chrome
        .eventually("the loss is told", "!document.querySelector('#lost').hidden")
        .await;
    let since = chrome
        .value("document.querySelector('#lost .since').textContent")
        .await;
    assert_eq!(since.as_str().unwrap().len(), "14:03:22".len());
    pictures(&chrome, "lost").await;

    // Sessions end with the controller.
    let running = controller::start(settings(data.path(), api)).await.unwrap();
    chrome
        .eventually(
            "signing in again is offered",
            "!document.querySelector('#lost .over').hidden",
        )
        .await;
    chrome.click("#lost .over").await;
    chrome
        .eventually("the form", "document.querySelector('input[name=token]')")
        .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_stays_usable_without_a_script() {
    let bench = Bench::start().await;
    let host = fleet().remove(0);
    let _agent = bench.agent(host).await;
    let chrome = Chrome::start().await;
    chrome.look(DESK).await;
    chrome
        .devtools(
            "Emulation.setScriptExecutionDisabled",
            serde_json::json!({"value": true}),
        )
        .await;
    chrome.page.goto(&bench.running.url).await.unwrap();
    chrome.keys("input[name=token]", &bench.token()).await;
    chrome.click("button[type=submit]").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    chrome.picture("no-script", false).await;
    chrome.click("#hosts a.toggle").await;
    let details = chrome
        .page
        .wait()
        .for_element(Locator::Css(".details"))
        .await
        .unwrap();
    assert!(details.text().await.unwrap().contains("ntp1.lab.example.com"));
    chrome.click("noscript button").await;
    chrome
        .page
        .wait()
        .for_element(Locator::Css("#hosts .line"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_told_and_mended() {
    let bench = Bench::start().await;
    let agent = bench.agent(fleet().remove(0)).await;
    let (near, cable) = cable::lay(bench.running.api).await;
    let chrome = Chrome::start().await;
    chrome.look(DESK).await;
    bench.sign_in_at(&chrome, &format!("http://{near}")).await;
    chrome.value("void (window.sameWindow = true)").await;
    for (n, broken) in [Cable::Cut, Cable::Dead].into_iter().enumerate() {
        cable.send(broken).unwrap();
        chrome
            .eventually("the loss is told", "!document.querySelector('#lost').hidden")
            .await;
        cable.send(Cable::Whole).unwrap();
        let stratum = u8::try_from(n).unwrap() + 7;
        agent.report(|report| report.ntp.as_mut().unwrap().stratum = Some(stratum));
        chrome.eventually("it is live again", LIVE).await;
        let shown = format!("document.querySelector('td.c-stratum').textContent === '{stratum}'");
        chrome.eventually("what has changed since", &shown).await;
        assert_eq!(chrome.value("document.querySelector('#lost').hidden").await, true);
    }
    assert_eq!(chrome.value("window.sameWindow").await, true);
}

/// Pictures of the page as it is: on a desk and a phone, by day and by night.
async fn pictures(chrome: &Chrome, name: &str) {
    for (width, height, size) in [(1280, 800, "desk"), (360, 800, "phone")] {
        for (dark, time) in [(false, "day"), (true, "night")] {
            chrome.look(Look { width, height, dark }).await;
            tokio::time::sleep(Duration::from_millis(150)).await;
            let wide = chrome
                .value("document.documentElement.scrollWidth > innerWidth")
                .await;
            chrome.picture(&format!("{name}-{size}-{time}"), true).await;
            assert_eq!(wide, false, "{name} is wider than a screen of {width} pixels");
        }
    }
    chrome.look(DESK).await;
}
