//! What is rendered, and what is streamed, without a browser.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::Timestamp;
use link::key::SigningKey;
use model::host::{AgentInfo, Condition, HostState, OsInfo, PendingAgentInfo};
use tower::ServiceExt as _;

use super::*;
use crate::settings::Listen;
use crate::{Running, Settings};

#[path = "../../tests/browser/fleet.rs"]
mod fleet;
use fleet::{HOSTILE, Manner, Simulated};

const NOW: &str = "2026-03-02T14:03:22Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A host as the API would show it.
fn info(simulated: Simulated) -> AgentInfo {
    let Simulated {
        facts,
        report,
        manner,
    } = simulated;
    let silent = manner == Manner::FallsSilent;
    AgentInfo {
        hostname: facts.hostname,
        status: if silent { "NotReady" } else { "Ready" }.to_owned(),
        machine_id: Some(facts.machine_id),
        fingerprint: Some(format!("SHA256:{}", "ab".repeat(32))),
        labels: facts
            .labels
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        registered_at: Some("2026-02-01T08:00:00Z".to_owned()),
        last_seen: Some(
            if silent {
                "2026-03-02T13:41:05Z"
            } else {
                "2026-03-02T14:03:18.4Z"
            }
            .to_owned(),
        ),
        os_info: Some(OsInfo {
            distribution: facts.os_id,
            version: facts.os_version,
        }),
        uptime: Some("3 days, 4 hours, 5 minutes".to_owned()),
        kernel_version: Some(facts.kernel_version),
        fqdn: Some(facts.fqdn),
        state: Some(HostState::Ready),
        conditions: report
            .ntp
            .iter()
            .filter_map(|ntp| ntp.drift.as_ref())
            .map(|drift| Condition {
                kind: "ConfigDrift".to_owned(),
                status: true,
                reason: Some(drift.detail.clone()),
                last_transition_time: "2026-03-02T09:14:00Z".to_owned(),
            })
            .collect(),
        agent_version: Some(facts.agent_version),
        ntp: report.ntp,
        ntp_error: report.ntp_error,
        ..AgentInfo::default()
    }
}

fn hosts() -> Vec<AgentInfo> {
    fleet::fleet()
        .into_iter()
        .filter(|host| host.manner != Manner::Waits)
        .map(info)
        .collect()
}

fn host(name: &str) -> AgentInfo {
    hosts().into_iter().find(|host| host.hostname == name).unwrap()
}

fn snapshot(hosts: Vec<AgentInfo>) -> Snapshot {
    Snapshot::new(now(), hosts, Vec::new())
}

fn view(query: &str) -> View {
    let uri: axum::http::Uri = format!("/{query}").parse().unwrap();
    let Query(query) = Query::<view::Query>::try_from_uri(&uri).unwrap();
    View::from(query)
}

fn html(snapshot: &Snapshot, query: &str) -> String {
    let viewer = Viewer {
        name: "anna".to_owned(),
        csrf: "c5rf".to_owned(),
    };
    let view = view(query);
    Screen::of(snapshot, &view, "fleet.example:4433")
        .page(&view, &viewer)
        .unwrap()
}

/// Compares with the file of this name; `TIMEBALL_BLESS=1` writes it.
fn golden(name: &str, html: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.html"));
    let html: String = html
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .fold(String::new(), |text, line| text + line + "\n");
    if std::env::var_os("TIMEBALL_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &html).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        html == wanted,
        "{} differs; see with TIMEBALL_BLESS=1 and git diff\n{html}",
        path.display()
    );
}

#[test]
fn every_state_has_its_row() {
    let mut drained = host("web-09");
    drained.state = Some(HostState::Cordoned);
    let mut never = host("edge-nairobi");
    (never.ntp, never.last_seen) = (None, None);
    for (name, host) in [
        ("row-synchronised", host("web-01")),
        ("row-free-running", host("edge-lagos")),
        ("row-not-synchronised", host("vm-build-7")),
        ("row-no-word", host("storage-02")),
        ("row-no-word-ever", never),
        ("row-unknown", host("ci-runner-a")),
        ("row-drained", drained),
    ] {
        golden(
            name,
            &parts::Row::of(&host, "?open=x".to_owned(), false)
                .html(now())
                .unwrap(),
        );
    }
}

#[test]
fn details_say_everything() {
    for (name, host) in [
        ("details-drifted", host("mail-01")),
        ("details-reference-clock", host("ntp1")),
        ("details-no-word", host("storage-02")),
        ("details-unknown", host("legacy-billing")),
        ("details-hostile", host("visitor")),
    ] {
        golden(
            name,
            &parts::Row::of(&host, String::new(), true).html(now()).unwrap(),
        );
    }
}

#[test]
fn the_summary_counts_and_names_the_worst() {
    golden("summary", &snapshot(hosts()).summary.to_string());
    golden("summary-empty", &snapshot(Vec::new()).summary.to_string());
    let silent = hosts()
        .into_iter()
        .filter(|host| host.status == "NotReady")
        .collect();
    let summary = snapshot(silent).summary;
    assert_eq!(summary.worst, None, "a bound of a silent host is not current");
}

#[test]
fn a_waiting_host_is_shown_with_its_command() {
    let pending = |hostname: &str| PendingAgentInfo {
        machine_id: "0042".to_owned(),
        hostname: hostname.to_owned(),
        fingerprint: format!("SHA256:{}", "cd".repeat(32)),
        requested_at: "2026-03-02T13:59:41Z".to_owned(),
    };
    golden(
        "pending",
        &parts::Pending::of(&[pending("web-10"), pending(HOSTILE)]).to_string(),
    );
    let many: Vec<_> = (0..500).map(|n| pending(&format!("x{n}"))).collect();
    let html = parts::Pending::of(&many).to_string();
    assert_eq!(html.matches("<li>").count(), 20);
    assert!(
        html.contains("497 more") && html.contains("and 480 that"),
        "{html}"
    );
}

#[test]
fn nothing_a_host_says_becomes_markup() {
    let mut hostile = host("visitor");
    // Some of these cannot come through the link; the page does not rely on that.
    hostile.hostname = HOSTILE.to_owned();
    hostile.labels.insert(HOSTILE.to_owned(), HOSTILE.to_owned());
    hostile.ntp_error = Some(HOSTILE.to_owned());
    hostile.fqdn = Some(HOSTILE.to_owned());
    hostile.agent_version = Some(HOSTILE.to_owned());
    let ntp = hostile.ntp.as_mut().unwrap();
    ntp.drift = Some(model::ntp::Drift {
        kind: model::ntp::DriftKind::Edited,
        detail: HOSTILE.to_owned(),
    });
    ntp.service = HOSTILE.to_owned();
    ntp.leap = Some(HOSTILE.to_owned());
    ntp.sources[0].state = HOSTILE.to_owned();
    let mut unknown = hostile.clone();
    unknown.ntp = None;
    unknown.machine_id = Some("other".to_owned());
    let id = hostile.machine_id.clone().unwrap();
    let screen = snapshot(vec![hostile, unknown]);
    let page = html(&screen, &format!("?q=%3Cscript%3E&open={id},other"));
    let page = page + &html(&screen, &format!("?open={id},other"));
    for broken in ["<img", "<script>", "'</td>", "onerror=\"", "\u{202e}", "\r"] {
        assert!(!page.contains(broken), "{broken:?} came through");
    }
    assert!(page.contains("&#60;img src=x onerror=&#34;alert(1)&#34;&#62;"));
}

#[test]
fn ten_thousand_hosts_are_two_hundred_rows() {
    let one = host("web-01");
    let many = (0..10_000_u32).map(|n| AgentInfo {
        hostname: format!("node-{n}"),
        machine_id: Some(format!("m{n}")),
        ..one.clone()
    });
    let many = snapshot(many.collect());
    let page = html(&many, "");
    assert_eq!(page.matches("<tbody id=\"h-").count(), 200);
    assert!(page.contains("10000 hosts, 200 on a page"));
    assert!(page.contains("1 to 200 of 10000"));
    let last = html(&many, "?sort=host&page=50");
    assert!(last.contains(">node-9999<") && !last.contains("rel=\"next\"") && last.contains("page=49"));
    assert_eq!(html(&many, "?q=node-99").matches("<tbody id=\"h-").count(), 111);
}

#[test]
fn a_view_chooses_and_orders() {
    let all = hosts();
    let names = |query: &str| -> Vec<String> {
        view(query)
            .choose(&all)
            .hosts
            .iter()
            .map(|host| host.hostname.clone())
            .collect()
    };
    assert_eq!(names("?q=group:db").len(), 4);
    assert_eq!(names("?q=GROUP:DB+db-03"), ["db-03.fra1.example.com"]);
    assert_eq!(names("?state=free-running"), ["edge-lagos"]);
    assert_eq!(names("?q=free"), ["edge-lagos"]);
    assert_eq!(names("?state=drift"), ["mail-01", "mail-02"]);
    assert_eq!(names("?state=no-word"), ["edge-nairobi", "storage-02"]);
    assert_eq!(
        names("")[..5],
        [
            "vm-build-7",
            "edge-lagos",
            "edge-nairobi",
            "storage-02",
            "ci-runner-a"
        ]
    );
    assert_eq!(names("?sort=bound")[..2], ["factory-plc-gateway", "edge-lagos"]);
    assert_eq!(names("?sort=bound&reverse=1")[0], "ntp1");
    let last = names("?sort=bound&reverse=1").pop().unwrap();
    assert_eq!(
        last, "vm-build-7",
        "who states no bound comes last, whichever way round"
    );
    assert_eq!(
        names("?sort=nonsense&page=-7&state=%22&open=%3C,,").len(),
        all.len()
    );
}

#[test]
fn a_view_survives_its_address() {
    let query = "?q=a%20%26b%3D%22%C3%A9&state=no-word&sort=bound&reverse=1&page=3&open=m1,m2&refresh=1";
    assert_eq!(view(query).query(), query);
    assert_eq!(view("").query(), "");
    assert_eq!(view("?open=m1").toggled("m1").query(), "");
    assert_eq!(
        view("?page=9&sort=bound").sorted(view::Sort::Bound).query(),
        "?sort=bound&reverse=1"
    );
    let many: Vec<String> = (0..40).map(|n| format!("m{n}")).collect();
    let full = view(&format!("?open={}", many.join(",")));
    assert_eq!(full.open.len(), 20);
    assert_eq!(full.toggled("new").open.len(), 20);
}

#[test]
fn an_update_has_what_changed_and_nothing_else() {
    let (before, mut after) = (snapshot(hosts()), hosts());
    let web = after.iter_mut().find(|host| host.hostname == "web-04").unwrap();
    web.ntp.as_mut().unwrap().offset_s = Some(-0.5);
    let id = web.machine_id.clone().unwrap();
    let after = snapshot(after);
    let screen = |snapshot: &Snapshot| Screen::of(snapshot, &view(""), "");
    let update = screen(&after).update(Some(&screen(&before))).unwrap().unwrap();
    assert_eq!(update.matches("<tbody").count(), 1);
    assert!(update.contains(&format!("h-{id}")) && update.contains("−500 ms"));
    assert!(
        !update.contains("data-order") && !update.contains("id=\"summary\"") && !update.contains("<thead")
    );
    assert_eq!(screen(&before).update(Some(&screen(&before))).unwrap(), None);
    let whole = screen(&before).update(None).unwrap().unwrap();
    assert_eq!(whole.matches("<tbody").count(), hosts().len());
    for part in [
        "data-order",
        "id=\"summary\"",
        "id=\"pending\"",
        "<thead",
        "id=\"pager\"",
        "id=\"nothing\"",
    ] {
        assert!(whole.contains(part), "{part}");
    }
}

// --- over HTTP, against a running controller

struct Bench {
    running: Running,
    router: Router,
    _data: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let free = Listen::Exactly("127.0.0.1:0".parse().unwrap());
        let settings = Settings {
            api: free,
            roles: [("blind".to_owned(), BTreeSet::from([Permission::NTP_READ]))].into(),
            ..Settings::local(data.path().to_owned())
        };
        let running = crate::start(settings).await.unwrap();
        let api = Api::new(Arc::clone(running.controller()), false);
        Bench {
            running,
            router: crate::http::router(&api),
            _data: data,
        }
    }

    async fn ask(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str, cookie: &str) -> Response {
        let request = Request::get(path)
            .header("cookie", cookie)
            .header("accept", "text/html");
        self.ask(request.body(Body::empty()).unwrap()).await
    }

    /// Signs in with a token; gives the cookie.
    async fn sign_in(&self, token: &str) -> String {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/ui/sign-in")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(format!("token={token}")))
            .unwrap();
        let answer = self.ask(request).await;
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn admin(&self) -> String {
        let token = std::fs::read_to_string(&self.running.admin_token).unwrap();
        self.sign_in(token.trim()).await
    }

    async fn stream(&self, query: &str, cookie: &str) -> Events {
        let answer = self.get(&format!("/ui/hosts/stream{query}"), cookie).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        Events(answer.into_body().into_data_stream().map(Result::unwrap).boxed())
    }

    async fn add(&self, simulated: Simulated) -> String {
        let hosts = self.running.controller().hosts();
        let id = simulated.facts.machine_id.clone();
        let key = SigningKey::generate().unwrap().public();
        let source = crate::source::Source::of([192, 0, 2, 1].into());
        hosts.admit(key, simulated.facts, source, true).await.unwrap();
        // The channel to the agent is not needed to be heard.
        hosts.connected(&id, &key).unwrap();
        hosts.heard(&id, Some(Box::new(simulated.report)));
        id
    }
}

struct Events(BoxStream<'static, bytes::Bytes>);

impl Events {
    /// The next event: its name and its data.
    async fn next(&mut self) -> Option<(String, String)> {
        let bytes = tokio::time::timeout(Duration::from_secs(10), self.0.next())
            .await
            .expect("an event")?;
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(!text.contains('\r'));
        let field = |name: &str| -> String {
            let lines = text
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            lines.collect::<Vec<_>>().join("\n")
        };
        Some((field("event"), field("data")))
    }
}

#[tokio::test]
async fn changes_are_streamed_once_a_second_and_only_what_changed() {
    let bench = Bench::start().await;
    let cookie = bench.admin().await;
    let mut fleet = fleet::fleet();
    let first = bench.add(fleet.remove(0)).await;
    let second = fleet.remove(0);
    let report = second.report.clone();
    let second = bench.add(second).await;

    let began = Instant::now();
    let mut events = bench.stream("?sort=host", &cookie).await;
    let (event, data) = events.next().await.unwrap();
    assert_eq!(event, "update");
    assert!(
        data.contains(&format!("data-order=\"{first} {second}\"")),
        "{data}"
    );
    let (event, data) = events.next().await.unwrap();
    assert_eq!(
        (event.as_str(), data.len()),
        ("alive", "14:03:22".len()),
        "{data}"
    );

    // A storm of heartbeats.
    let controller = Arc::clone(bench.running.controller());
    let storm = tokio::spawn({
        let second = second.clone();
        async move {
            for n in 0_i32.. {
                let mut report = report.clone();
                report.ntp.as_mut().unwrap().offset_s = Some(f64::from(n) * 1e-6);
                controller.hosts().heard(&second, Some(Box::new(report)));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut updates = 0_u32;
    let mut seen = 2;
    while updates < 2 {
        let (event, data) = events.next().await.unwrap();
        seen += 1;
        assert!(seen < 20, "{updates} updates among {seen} events");
        if event == "update" {
            updates += 1;
            assert!(
                !data.contains(&format!("id=\"h-{first}\"")),
                "an unchanged row was sent"
            );
        }
    }
    // One at once, and then one a second at the most.
    let seconds = began.elapsed().as_secs();
    assert!(seen <= 1 + seconds, "{seen} events in {seconds} s");
    storm.abort();

    // A view sees its part only.
    let mut events = bench.stream("?q=web-01", &cookie).await;
    let (_, data) = events.next().await.unwrap();
    let row = |id: &str| format!("<tbody id=\"h-{id}\"");
    assert!(
        data.contains(&row(&first)) && !data.contains(&row(&second)),
        "{data}"
    );
}

#[tokio::test]
async fn who_may_not_see_hosts_sees_none() {
    let bench = Bench::start().await;
    bench.add(fleet::fleet().remove(0)).await;
    assert_eq!(
        bench.get("/ui/hosts/stream", "").await.status(),
        StatusCode::UNAUTHORIZED
    );
    let answer = bench.get("/", "").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[header::LOCATION], "/sign-in");

    let request = serde_json::json!({"subject": "bob", "roles": ["blind"]});
    let request = serde_json::from_value(request).unwrap();
    let token = bench
        .running
        .controller()
        .tokens()
        .issue(&request)
        .await
        .unwrap()
        .token;
    let cookie = bench.sign_in(&token).await;
    assert_eq!(
        bench.get("/ui/hosts/stream", &cookie).await.status(),
        StatusCode::FORBIDDEN
    );
    let answer = bench.get("/", &cookie).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let text = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("agent:read") && !text.contains("web-01"), "{text}");
}

#[tokio::test]
async fn who_opens_page_after_page_leaves_room_for_others() {
    let bench = Bench::start().await;
    let admin = bench.admin().await;
    let request = serde_json::json!({"subject": "greedy", "roles": ["read"]});
    let request = serde_json::from_value(request).unwrap();
    let token = bench
        .running
        .controller()
        .tokens()
        .issue(&request)
        .await
        .unwrap()
        .token;
    let greedy = bench.sign_in(&token).await;
    let mut pages = Vec::new();
    for _ in 0..STREAMS_MAX / 2 {
        pages.push(bench.stream("", &greedy).await);
    }
    let more = bench.get("/ui/hosts/stream", &greedy).await;
    assert_eq!(more.status(), StatusCode::SERVICE_UNAVAILABLE);
    let mut events = bench.stream("", &admin).await;
    events.next().await.unwrap();
    drop(pages);
    bench.stream("", &greedy).await;
}

#[test]
fn a_row_says_that_two_services_set_the_clock() {
    let mut host = host("web-01");
    let says_so =
        |host: &AgentInfo| html(&snapshot(vec![host.clone()]), "").contains(">two time services</span>");
    assert!(!says_so(&host));
    host.conditions.push(Condition {
        kind: "TimeServiceConflict".to_owned(),
        status: true,
        reason: Some("several time services set the clock: chronyd, ntpd".to_owned()),
        last_transition_time: "2026-03-02T09:14:00Z".to_owned(),
    });
    assert!(says_so(&host));
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let bench = Bench::start().await;
    let cookie = bench.admin().await;
    let mut events = bench.stream("", &cookie).await;
    events.next().await.unwrap();
    let page = bench.get("/", &cookie).await;
    let page = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    let (_, csrf) = page.split_once("name=\"csrf\" value=\"").unwrap();
    let csrf = csrf.split('"').next().unwrap();
    let request = Request::post("/ui/sign-out")
        .header("cookie", &cookie)
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = bench
        .ask(request.body(Body::from(format!("csrf={csrf}"))).unwrap())
        .await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    while let Some((event, _)) = events.next().await {
        assert_eq!(event, "alive");
    }
}

#[tokio::test]
async fn pages_have_a_strict_policy_and_unknown_ones_are_told() {
    let bench = Bench::start().await;
    let cookie = bench.admin().await;
    for path in ["/", "/sign-in", "/nowhere"] {
        let answer = bench.get(path, if path == "/" { &cookie } else { "" }).await;
        assert_eq!(
            answer.headers()[header::CONTENT_SECURITY_POLICY],
            POLICY,
            "{path}"
        );
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store", "{path}");
        let text = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        for inline in [
            " style=",
            "<style",
            " onclick=",
            "<script>",
            "http://",
            "https://",
        ] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
    }
    assert_eq!(bench.get("/nowhere", "").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        bench.get("/?q=a&q=b&page=%FF", &cookie).await.status(),
        StatusCode::OK
    );
    let answer = bench.get("/api/nowhere", "").await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
}
