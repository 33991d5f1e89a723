//! Told stories: `weir demo --story …` plays, a real Prometheus scrapes it, a real Alertmanager tells; and who hears what is asserted: one
//! page where somebody must get up, none where nobody must, and nothing else than what belongs to the story.
//!
//! What is for the platform goes by its real durations, routing included; what is for the shop waits for a quarter of an hour and more,
//! and goes [`FASTER`] here. Prometheus looks every five seconds, as in the configuration that is checked in.
//!
//! They take minutes, so they are told only where `WEIR_STORIES` is set. Where `WEIR_STORIES_GALLERY` names a folder, in which
//! `tests/stories/gallery` has put what takes pictures, the course of each story and its pictures are left there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use weir::edges::clock::{SharedClock, SystemClock};
use weir::process::monitoring::{Links, Team, alerts, files};
use weir_kit::process::{Ending, Input, Process};
use weir_kit::{folder, scratch, skipped, within};

use crate::nats::Server;
use crate::watchers::{Alertmanager, Prometheus, ask, routing};
use crate::weir::OWN;

/// By how much durations of the shop's alerts are divided.
const FASTER: u64 = 60;
/// No range is shorter: two scrapes are in it.
const RANGE_MS_MIN: u64 = 12_000;
/// How long nothing else may be heard once all is told.
const AFTERWARDS: Duration = Duration::from_secs(12);
/// How long a quiet night is listened to: an hour, to the shop's alerts.
const NIGHT: Duration = Duration::from_mins(1);
/// How long a story may take until all is told.
const PATIENCE: Duration = Duration::from_mins(6);
/// How often it is looked what has happened.
const LOOK: Duration = Duration::from_millis(200);
/// The picture of the shop's list alone, and that of panels.
const TO_DO: &str = "to-do";
const PANELS: &str = "panels";
/// Who is woken.
const PAGER: &str = "platform-pager";

/// A story, and who hears what of it.
struct Told {
    story: &'static str,
    /// Whether it is played by workers on a server.
    on_server: bool,
    /// A piece of the line from which on it counts how long somebody did not know.
    from: &'static str,
    /// The alert that wakes somebody.
    page: Option<&'static str>,
    /// Alerts that are heard in working hours.
    tickets: &'static [&'static str],
    /// What may fire beside, and why.
    beside: &'static [(&'static str, &'static str)],
    /// Pictures before the end, and after how many seconds.
    pictures: &'static [(&'static str, u64)],
    /// Panels that show it: each one's dashboard, and the beginning of its title.
    panels: &'static [(&'static str, &'static str)],
}

impl Told {
    /// Nobody hears anything.
    fn is_quiet(&self) -> bool {
        self.page.is_none() && self.tickets.is_empty()
    }

    /// The pictures that are taken at its end.
    fn last_pictures(&self) -> impl Iterator<Item = &'static str> {
        let shops = self.page.is_none() && !self.tickets.is_empty();
        ["end"].into_iter().chain(shops.then_some(TO_DO)).chain([PANELS])
    }
}

const FLASH_SALE: Told = Told {
    story: "flash-sale",
    on_server: false,
    from: "The sale begins",
    page: None,
    tickets: &["WeirStockouts"],
    beside: &[("WeirStockRunsOut", "the lamp is gone within the day, where its demand is known by then")],
    pictures: &[("before", 14), ("sold-out", 55)],
    panels: &[
        ("weir-overview", "What became of them"),
        ("weir-overview", "Why orders are refused"),
        ("weir-stock", "Orders of half an hour refused"),
        ("weir-overview", "Share answered within 250 ms"),
    ],
};
const CARRIER_DELAY: Told = Told {
    story: "carrier-delay",
    on_server: false,
    from: "swift, which carries",
    page: None,
    tickets: &["WeirDelayRiskRising"],
    beside: &[("WeirPredictionOff", "a strike is what no past has taught")],
    pictures: &[],
    panels: &[
        ("weir-delay", "Share of open orders that is expected"),
        ("weir-delay", "Open orders by their risk"),
        ("weir-service", "On time, by carrier"),
        ("weir-delay", "Signals that stand"),
    ],
};
const CANCELLATION_SURGE: Told = Told {
    story: "cancellation-surge",
    on_server: false,
    from: "swift writes to its customers",
    page: None,
    tickets: &["WeirCancellationSurge"],
    beside: &[],
    pictures: &[("before", 14)],
    panels: &[
        ("weir-delay", "How many times as many cancellations"),
        ("weir-delay", "Orders cancelled, by reason"),
        ("weir-delay", "Value cancelled, an hour"),
        ("weir-overview", "What became of them"),
    ],
};
const DEAD_WORKER: Told = Told {
    story: "dead-worker",
    on_server: true,
    from: "b, the last one, is killed",
    page: Some("WeirAbsent"),
    tickets: &[],
    beside: &[
        ("WeirWorkerUnreachable", "of each worker; that none is there keeps it quiet"),
        ("WeirErrorBudgetBurn", "of what was not decided; the same keeps it quiet"),
    ],
    pictures: &[("before", 14), ("taken-over", 38)],
    panels: &[
        ("weir-internals", "Roles"),
        ("weir-overview", "Workers that are scraped"),
        ("weir-overview", "What became of them"),
        ("weir-overview", "Messages stored and not decided"),
    ],
};
const FULL_LOG: Told = Told {
    story: "full-log",
    on_server: true,
    from: "The log is full",
    page: Some("WeirLogFull"),
    tickets: &["WeirSnapshotsFail"],
    beside: &[
        ("WeirLogFullSoon", "the full log keeps it quiet"),
        ("WeirErrorBudgetBurn", "a slow machine decides the import late; the full log keeps it quiet"),
        ("WeirLag", "as before"),
        ("WeirAnalyticsSkip", "a slow machine measures a part of the import"),
    ],
    pictures: &[("before", 14)],
    panels: &[
        ("weir-internals", "How full the log is"),
        ("weir-internals", "Streams and their limits"),
        ("weir-internals", "Snapshots that failed"),
        ("weir-overview", "What became of them"),
    ],
};
const QUIET_NIGHT: Told = Told {
    story: "quiet-night",
    on_server: false,
    from: "Three orders a minute",
    page: None,
    tickets: &[],
    beside: &[],
    pictures: &[],
    panels: &[
        ("weir-overview", "Orders of the last hour against"),
        ("weir-overview", "Alerts that fire"),
        ("weir-overview", "Share answered within 250 ms"),
        ("weir-overview", "Why orders are refused"),
    ],
};

/// Something that happened.
struct Event {
    at: Duration,
    kind: &'static str,
    text: String,
}

/// What a receiver of Alertmanager's was sent.
#[derive(Clone)]
struct Heard {
    at: Duration,
    receiver: String,
    /// Names and summaries.
    alerts: Vec<(String, String)>,
}

/// What Alertmanager sends, as it comes.
struct Ears {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Ears {
    fn open(clock: SharedClock, began: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let writes = heard.clone();
        // It ends with the process.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Some(body) = connection.ok().and_then(|connection| posted(&connection)) else { continue };
                let told: Value = serde_json::from_str(&body).unwrap();
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let alerts = told["alerts"].as_array().unwrap().iter();
                let alerts = alerts.map(|alert| {
                    (text(&alert["labels"]["alertname"]), text(&alert["annotations"]["summary"]))
                });
                let heard = Heard {
                    at: clock.monotonic().saturating_sub(began),
                    receiver: text(&told["receiver"]),
                    alerts: alerts.collect(),
                };
                writes.lock().unwrap().push(heard);
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

/// The body of a request, which is answered.
fn posted(connection: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).ok()? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        line.clear();
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body).ok()?;
    (&*connection).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    Some(body)
}

/// A duration of Prometheus's, divided.
fn divided(text: &str, least_ms: u64) -> String {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => panic!("{text} is no duration"),
    };
    let ms = number.parse::<u64>().unwrap() * seconds * 1_000 / FASTER;
    format!("{}ms", ms.max(least_ms))
}

/// The alerting rules, with those for the shop so much faster.
fn hastened(rules: &str) -> String {
    let (mut text, mut is_shops) = (String::new(), false);
    for line in rules.lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            is_shops = alerts().any(|alert| alert.name == name && alert.team == Team::Shop);
        }
        let mut line = line.to_owned();
        if is_shops {
            for key in ["for: ", "keep_firing_for: "] {
                if let Some(duration) = line.trim().strip_prefix(key) {
                    line = format!("        {key}{}", divided(duration, 0));
                }
            }
            let mut pieces = line.split('[').map(str::to_owned).collect::<Vec<_>>();
            for piece in pieces.iter_mut().skip(1) {
                let (range, rest) = piece.split_once(']').unwrap();
                *piece = format!("{}]{rest}", divided(range, RANGE_MS_MIN));
            }
            line = pieces.join("[");
        }
        let _ = writeln!(text, "{line}");
    }
    text
}

#[test]
fn only_the_shops_alerts_are_hastened() {
    let (_, rules) =
        files(&Links::default()).into_iter().find(|(name, _)| name == "prometheus/alerts.yml").unwrap();
    let hastened = hastened(&rules);
    let rule = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("- alert: {name}\n")).unwrap();
        rest.split("- alert: ").next().unwrap().to_owned()
    };
    for alert in alerts() {
        let same = rule(&rules, alert.name) == rule(&hastened, alert.name);
        assert_eq!(same, alert.team == Team::Platform, "{}", alert.name);
    }
    let stockouts = rule(&hastened, "WeirStockouts");
    assert!(stockouts.contains("[30000ms]") && !stockouts.contains("[30m]"), "{stockouts}");
    assert!(stockouts.contains("\n        for: 15000ms\n        keep_firing_for: 15000ms\n"), "{stockouts}");
}

/// Prometheus and Alertmanager with the files that are checked in, and whoever hears.
struct Watch {
    prometheus: Prometheus,
    _alertmanager: Alertmanager,
    ears: Ears,
}

impl Watch {
    async fn begin(home: &Path, scraped: &[SocketAddr], clock: SharedClock, began: Duration) -> Self {
        let ears = Ears::open(clock, began);
        let text = std::fs::read_to_string(routing()).unwrap();
        let (rest, receivers) = text.split_once("\nreceivers:\n").unwrap();
        let mut own = format!("{rest}\nreceivers:\n");
        for line in receivers.lines() {
            let url = format!("http://{}/", ears.address);
            let _ = writeln!(own, "{line}\n    webhook_configs: [{{url: \"{url}\", send_resolved: false}}]");
        }
        let configuration = home.join("routing.yml");
        std::fs::write(&configuration, own).unwrap();
        let alertmanager = Alertmanager::start(home, &configuration).await;
        for (name, text) in files(&Links::default()) {
            match name.as_str() {
                "prometheus/recording.yml" => std::fs::write(home.join("recording.yml"), text).unwrap(),
                "prometheus/alerts.yml" => std::fs::write(home.join("alerts.yml"), hastened(&text)).unwrap(),
                _ => {}
            }
        }
        let targets: Vec<String> = scraped.iter().map(ToString::to_string).collect();
        let configuration = format!(
            "global: {{scrape_interval: 5s, scrape_timeout: 5s, evaluation_interval: 1s}}\nrule_files: [recording.yml, alerts.yml]\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: [\"{}\"]}}]}}]}}\n\
             scrape_configs:\n  - job_name: weir\n    static_configs: [{{targets: {targets:?}}}]\n",
            alertmanager.address
        );
        let prometheus = Prometheus::start(home, &configuration).await;
        Self { prometheus, _alertmanager: alertmanager, ears }
    }

    /// The alerts that fire, by name, and what tells them apart.
    fn firing(&self) -> Vec<(String, String)> {
        let firing = self.prometheus.ask("ALERTS{alertstate=\"firing\"}").unwrap();
        let label = |alert: &Value, name: &str| alert["metric"][name].as_str().map(str::to_owned);
        let told_apart = ["long", "shard", "instance", "reason", "end", "series", "label"];
        firing
            .iter()
            .map(|alert| {
                let labels: Vec<_> = told_apart
                    .iter()
                    .filter_map(|name| Some(format!("{name}={}", label(alert, name)?)))
                    .collect();
                (label(alert, "alertname").unwrap(), labels.join(", "))
            })
            .collect()
    }
}

/// Takes pictures, where somebody wants them.
struct Photographer {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Photographer {
    fn hire(console: &str) -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os("WEIR_STORIES_GALLERY")?);
        let browser = std::env::var_os("WEIR_TEST_CHROMIUM").unwrap_or_else(|| "chromium".into());
        let mut child = Command::new("node")
            .arg(folder.join("shoot.mjs"))
            .arg(browser)
            .arg(console)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { child, asks, answers, folder })
    }

    /// Takes pictures of the console, of the shop's list alone, or of what `panels` show since `began`, in nanoseconds since 1970.
    fn shoot(
        &mut self,
        names: impl Iterator<Item = &'static str>,
        told: &Told,
        watch: &Watch,
        since_ns: [i64; 2],
    ) {
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/grafana");
        let [from, to] = since_ns.map(|at_ns| at_ns / 1_000_000_000);
        for name in names {
            let mut wanted = json!({ "path": self.folder.join(format!("{}-{name}.png", told.story)) });
            match name {
                TO_DO => wanted["part"] = json!("section:has(> #todo-title)"),
                PANELS => {
                    let address = watch.prometheus.address.to_string();
                    wanted["panels"] = json!([boards, address, from, to, told.panels]);
                }
                _ => {}
            }
            writeln!(self.asks, "{wanted}").unwrap();
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            assert_eq!(line.trim(), "taken", "{name}");
        }
    }
}

impl Drop for Photographer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes an hour of this night and the same hours of last week into a folder of Prometheus's, as quiet as it is now: `placed` orders
/// so far at a worker.
async fn fill_in_the_past(home: &Path, worker: SocketAddr, clock: &SharedClock) {
    let metrics = ask(worker, "GET", "/metrics", "").unwrap();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("weir_commands_total{") && line.contains("command=\"place\""));
    let placed: f64 = line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    let now = clock.wall_ns() / 1_000_000_000;
    let mut text = "# TYPE weir_commands counter\n".to_owned();
    for before in (20..=3_700).rev().step_by(10) {
        let labels = format!("job=\"weir\",instance=\"{worker}\",shard=\"main\",command=\"place\"");
        // Three a minute.
        let count = (placed - f64::from(before) / 20.0).max(0.0);
        let _ = writeln!(text, "weir_commands_total{{{labels}}} {count} {}", now - i64::from(before));
    }
    text.push_str("# TYPE job:weir_orders_placed:increase1h gauge\n");
    let last_week = now - 7 * 86_400;
    for at in (last_week - 900..last_week + 1_800).step_by(10) {
        let _ = writeln!(text, "job:weir_orders_placed:increase1h{{job=\"weir\"}} 180 {at}");
    }
    text.push_str("# EOF\n");
    let file = home.join("past.txt");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("promtool");
    command.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(file).arg(home.join("data"));
    let filled = Process::start("promtool", command, Input::None, Ending::Killed).unwrap();
    let ended = filled.finish(weir_kit::PATIENCE).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// Where a demo says that it is to be seen, in the order in which it says so.
fn places(printed: &str, what: &str) -> Vec<String> {
    let lines = printed.lines().filter_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
    lines.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// The line of a story that begins with minutes and seconds: whether the worker says it, and what it says.
fn told_in(line: &str) -> Option<(&'static str, &str)> {
    let (minutes, rest) = line.split_once(':')?;
    minutes.trim().parse::<u32>().ok()?;
    let text = rest.get(2..)?.trim();
    Some(text.strip_prefix("Weir: ").map_or(("happens", text), |text| ("weir", text)))
}

/// Plays a story and asserts who hears what.
#[expect(clippy::too_many_lines, reason = "one course, told from its beginning to its end")]
async fn tell(told: &'static Told) {
    if std::env::var_os("WEIR_STORIES").is_none() {
        skipped("WEIR_STORIES is not set");
        return;
    }
    let home = folder(&scratch(), told.story).unwrap();
    let server = if told.on_server { Some(Server::start().await) } else { None };
    let mut command = Command::new(OWN);
    command.args(["demo", "--story", told.story, "--for", "20m", "--admin", "127.0.0.1:0"]);
    command.args(["--console", "127.0.0.1:0"]);
    if let Some(server) = &server {
        command.args(["--nats", &server.url()]);
    }
    let mut demo = Process::start("story", command, Input::None, Ending::Asked).unwrap();
    let count = 1 + usize::from(told.on_server);
    let printed = |demo: &Process| (places(&demo.printed(), "Metrics"), places(&demo.printed(), "Console"));
    within(PATIENCE, "the story to begin", async || {
        assert!(demo.is_running(), "{}{}", demo.printed(), demo.log());
        (printed(&demo).1.len() == count).then_some(())
    })
    .await;
    let (metrics, consoles) = printed(&demo);
    let admins: Vec<SocketAddr> = metrics
        .iter()
        .map(|url| url.trim_start_matches("http://").trim_end_matches("/metrics").parse().unwrap())
        .collect();
    let clock = SystemClock::shared();
    let (began, began_ns) = (clock.monotonic(), clock.wall_ns());
    let mut photographer = Photographer::hire(consoles.last().unwrap());
    if told.story == "quiet-night" {
        fill_in_the_past(home.path(), admins[0], &clock).await;
    }
    let watch = Watch::begin(home.path(), &admins, clock.clone(), began).await;

    let mut course: Vec<Event> = Vec::new();
    let (mut lines, mut fired, mut heard) = (0, BTreeSet::new(), 0);
    let mut pictures = told.pictures.iter().peekable();
    let mut all_told: Option<Duration> = None;
    let ended = within(PATIENCE, "everybody to hear what is for them", async || {
        tokio::time::sleep(LOOK).await;
        let at = clock.monotonic().saturating_sub(began);
        let mut note = |at, kind, text: String| course.push(Event { at, kind, text });
        let printed = demo.printed();
        // A line that is not whole is read with the next look.
        let whole = printed.matches('\n').count();
        for line in printed.lines().take(whole).skip(lines) {
            if let Some((kind, text)) = told_in(line) {
                note(at, kind, text.to_owned());
            }
        }
        lines = whole;
        for alert in watch.firing() {
            if fired.insert(alert.clone()) {
                note(at, "fires", format!("{} ({})", alert.0, alert.1));
            }
        }
        for one in watch.ears.heard().into_iter().skip(heard) {
            heard += 1;
            let names: BTreeSet<String> = one.alerts.into_iter().map(|(name, _)| name).collect();
            let names: Vec<String> = names.into_iter().collect();
            note(one.at, "heard", format!("{}: {}", one.receiver, names.join(", ")));
        }
        if let Some((name, _)) = pictures.next_if(|(_, after)| at.as_secs() >= *after)
            && let Some(photographer) = &mut photographer
        {
            photographer.shoot([*name].into_iter(), told, &watch, [began_ns, clock.wall_ns()]);
        }
        let heard: BTreeSet<String> =
            watch.ears.heard().into_iter().flat_map(|one| one.alerts).map(|(name, _)| name).collect();
        let all = told.page.iter().chain(told.tickets).all(|name| heard.contains(*name));
        let awaited = if told.is_quiet() { NIGHT } else { AFTERWARDS };
        if all && all_told.is_none() {
            all_told = Some(at);
            if let Some(photographer) = photographer.as_mut().filter(|_| awaited == AFTERWARDS) {
                photographer.shoot(told.last_pictures(), told, &watch, [began_ns, clock.wall_ns()]);
            }
        }
        all_told.is_some_and(|all| at >= all + awaited).then_some(at)
    })
    .await;
    if let Some(photographer) = photographer.as_mut().filter(|_| told.is_quiet()) {
        photographer.shoot(told.last_pictures(), told, &watch, [began_ns, clock.wall_ns()]);
    }

    course.sort_by_key(|event| event.at);
    for event in &course {
        println!("{:>4} s  {:<8}{}", event.at.as_secs(), event.kind, event.text);
    }
    let heard = watch.ears.heard();
    let from = course.iter().find(|event| event.kind == "happens" && event.text.contains(told.from));
    let from = from.unwrap_or_else(|| panic!("{}: nothing says {:?}", told.story, told.from)).at;
    let first = told.page.or(told.tickets.first().copied());
    let heard_first =
        heard.iter().find(|one| one.alerts.iter().any(|(name, _)| Some(name.as_str()) == first));
    if let Some(one) = heard_first {
        let after = one.at.saturating_sub(from).as_secs();
        println!("{}: {} heard {} after {after} s", told.story, one.receiver, first.unwrap_or_default());
    }
    leave(told, &course, &heard, heard_first.map(|one| one.at.saturating_sub(from)));

    let pages: Vec<Vec<&str>> = heard
        .iter()
        .filter(|one| one.receiver == PAGER)
        .map(|one| one.alerts.iter().map(|(name, _)| name.as_str()).collect())
        .collect();
    let page: Vec<Vec<&str>> = told.page.iter().map(|name| vec![*name]).collect();
    assert_eq!(pages, page, "{}: who was woken, and how often", told.story);
    let allowed = |name: &str| {
        let beside = told.beside.iter().map(|(name, _)| name);
        told.page.iter().chain(told.tickets).chain(beside).any(|one| *one == name)
    };
    let odd: Vec<_> = fired.iter().filter(|(name, _)| !allowed(name)).collect();
    assert!(odd.is_empty(), "{}: {odd:?} fired, which is no part of it", told.story);
    if told.story == "quiet-night" {
        // It is quiet since it is as ever, not since nothing is compared.
        let ratio =
            "job:weir_orders_placed:increase1h / on (job) job:weir_orders_placed:increase1h offset 1w";
        let found = watch.prometheus.ask(ratio).unwrap();
        let ratio: f64 = found[0]["value"][1].as_str().unwrap().parse().unwrap();
        assert!((0.7..1.4).contains(&ratio), "{ratio}");
        assert!(ended >= NIGHT);
    }
    assert!(demo.is_running(), "{}{}", demo.printed(), demo.log());
}

/// Leaves the course of a story for the gallery, where somebody wants it.
fn leave(told: &Told, course: &[Event], heard: &[Heard], after: Option<Duration>) {
    let Some(folder) = std::env::var_os("WEIR_STORIES_GALLERY") else { return };
    let events: Vec<Value> = course
        .iter()
        .map(|event| json!({ "at": event.at.as_secs(), "kind": event.kind, "text": event.text }))
        .collect();
    let heard: Vec<Value> =
        heard.iter().map(|one| json!({ "receiver": one.receiver, "alerts": one.alerts })).collect();
    let pictures: Vec<&str> =
        told.pictures.iter().map(|(name, _)| *name).chain(told.last_pictures()).collect();
    let told = json!({
        "story": told.story, "on_server": told.on_server, "from": told.from, "page": told.page, "tickets": told.tickets,
        "pictures": pictures, "faster": FASTER, "after": after.map(|after| after.as_secs()), "events": events, "heard": heard,
    });
    let path = PathBuf::from(folder).join(told["story"].as_str().unwrap()).with_extension("json");
    std::fs::write(path, serde_json::to_string_pretty(&told).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flash_sale_wakes_nobody_and_the_shop_hears_of_it() {
    tell(&FLASH_SALE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carriers_delay_is_the_shops_to_know() {
    tell(&CARRIER_DELAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_surge_of_cancellations_is_the_shops_to_know() {
    tell(&CANCELLATION_SURGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_wakes_nobody_and_the_last_dead_worker_somebody_once() {
    tell(&DEAD_WORKER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_wakes_somebody_once() {
    tell(&FULL_LOG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_night_stays_quiet() {
    tell(&QUIET_NIGHT).await;
}
