//! What services use, and `/metrics`, read by a strict parser.
//! Not here: who may read it (`http`).

use std::collections::{BTreeMap, BTreeSet};

use e2e::{Setup, Stack, eventually, free_port, over_tcp, over_unix};

const OPEN_METRICS: &str = "Accept: application/openmetrics-text; version=1.0.0";

/// Labels and value of each sample, by its name.
type Samples = BTreeMap<String, Vec<(BTreeMap<String, String>, f64)>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Prometheus,
    OpenMetrics,
}

/// Both formats by the letter, as far as they are used here. Panics at the first deviation.
fn parsed(text: &str, format: Format) -> Samples {
    let body = match format {
        Format::OpenMetrics => text.strip_suffix("# EOF\n").expect("an end mark"),
        Format::Prometheus => text,
    };
    assert!(body.is_empty() || body.ends_with('\n'), "the last line ends");
    let (mut samples, mut families, mut series) = (Samples::new(), BTreeSet::new(), BTreeSet::new());
    let mut family = (String::new(), String::new());
    let mut lines = body.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a help text");
            assert!(is_name(name) && !words.is_empty(), "{line}");
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")).expect("the type follows");
            let (same, kind) = kind.split_once(' ').expect("a type");
            assert_eq!(same, name);
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{kind}");
            assert!(format == Format::OpenMetrics || kind != "info", "{name}: the older format has no info");
            family = (name.to_owned(), kind.to_owned());
        } else {
            let (name, labels, value) = sample(line);
            assert!(belongs(&name, &family, format), "{line} in {family:?}");
            assert!(series.insert((name.clone(), labels.clone())), "{line} comes twice");
            samples.entry(name).or_default().push((labels, value));
        }
    }
    samples
}

fn belongs(name: &str, (family, kind): &(String, String), format: Format) -> bool {
    let Some(suffix) = name.strip_prefix(family.as_str()) else { return false };
    match (kind.as_str(), format) {
        ("gauge", _) | ("counter", Format::Prometheus) => suffix.is_empty(),
        ("counter", Format::OpenMetrics) => suffix == "_total",
        ("info", _) => suffix == "_info",
        (_, _) => ["_bucket", "_sum", "_count"].contains(&suffix),
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `name{key="value",…} number`.
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"").expect("a label");
            assert!(is_name(key), "{line}");
            let (value, after) = quoted(after);
            assert!(labels.insert(key.to_owned(), value).is_none(), "{line}");
            rest = after.strip_prefix(',').unwrap_or(after);
            assert!(after.starts_with([',', '}']) && !after.starts_with(",}"), "{line}");
        }
        rest = &rest[1..];
    }
    let number = rest.strip_prefix(' ').expect("one space").parse::<f64>().expect("a number");
    (name.to_owned(), labels, number)
}

/// What stands before the closing quote, and what after it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().expect("something is escaped").1 {
                'n' => value.push('\n'),
                plain @ ('\\' | '"') => value.push(plain),
                other => panic!("`{other}` is escaped"),
            },
            plain => value.push(plain),
        }
    }
    panic!("no closing quote in {text}");
}

fn scraped(stack: &Stack, format: Format) -> Samples {
    let (extra, kind): (&[&str], &str) = match format {
        Format::OpenMetrics => (&[OPEN_METRICS], "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        Format::Prometheus => (&[], "text/plain; version=0.0.4; charset=utf-8"),
    };
    let answer = over_unix(&stack.socket(), "GET", "/metrics", extra).expect("an answer");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
    parsed(&answer.text(), format)
}

#[track_caller]
fn value(samples: &Samples, name: &str, wanted: &[(&str, &str)]) -> f64 {
    let has = |labels: &BTreeMap<String, String>| {
        wanted.iter().all(|(key, value)| labels.get(*key).is_some_and(|found| found == value))
    };
    let found: Vec<f64> = samples[name].iter().filter(|(labels, _)| has(labels)).map(|(_, value)| *value).collect();
    assert_eq!(found.len(), 1, "{name} {wanted:?}: {:?}", samples[name]);
    found[0]
}

#[test]
fn metrics_tell_state_exits_probes_logs_and_use_in_both_formats() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.web]\ncommand = './puppet listen'\nport = {port}\nready = {{ tcp = true }}\n\
         live = {{ http = {{ path = '/a\"b\\c', status = [599] }}, interval = '100ms', failures = 1000 }}\n\
         [services.crash]\ncommand = ['sh', '-c', 'echo 12345; exit 7']\nrestart = {{ delay = '50ms', max_delay = '50ms' }}\n\
         [services.off]\ncommand = './puppet wait'\nautostart = false\n"
    ))
    .start_no_wait();
    stack.wait_for("web", "running");
    stack.wait_for("crash", "crash-loop");
    let check = "http /a\"b\\c";
    let tried = [("service", "web"), ("check", check)];
    for format in [Format::Prometheus, Format::OpenMetrics] {
        // The pump writes when it comes to it.
        let samples = eventually("both checks to have been tried, and the output to be written", || {
            let samples = scraped(&stack, format);
            let tries = samples.get("supervisor_service_probe_seconds_count")?;
            let written = value(&samples, "supervisor_service_log_bytes_total", &[("service", "crash")]);
            (tries.len() == 2 && written >= 30.0).then_some(samples)
        });
        let of = |name: &str, labels: &[(&str, &str)]| value(&samples, &format!("supervisor_{name}"), labels);
        assert_eq!(of("build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
        assert_eq!(of("healthy", &[]), 0.0);
        assert_eq!(of("service_state", &[("service", "web"), ("state", "running")]), 1.0);
        assert_eq!(of("service_state", &[("service", "crash"), ("state", "running")]), 0.0);
        let states = samples["supervisor_service_state"].iter();
        assert_eq!(states.filter(|(_, value)| *value == 1.0).count(), 3, "each is in one state");
        for (service, up, wanted) in [("web", 1.0, 1.0), ("off", 0.0, 0.0)] {
            assert_eq!(of("service_up", &[("service", service)]), up);
            assert_eq!(of("service_ready", &[("service", service)]), up);
            assert_eq!(of("service_wanted", &[("service", service)]), wanted);
        }
        assert!(of("service_exits_total", &[("service", "crash"), ("exit", "7")]) >= 5.0);
        assert!(of("service_restarts_total", &[("service", "crash")]) >= 4.0);
        assert!(of("service_uptime_seconds", &[("service", "web")]) > 0.0);
        assert!(of("service_memory_bytes", &[("service", "web")]) > 100_000.0);
        assert!(of("service_open_fds", &[("service", "web")]) >= 3.0);
        assert!(of("role_memory_bytes", &[("role", "keeper")]) > 100_000.0);
        let count = of("service_probe_seconds_count", &tried);
        assert!(count >= 1.0);
        let infinite = [tried[0], tried[1], ("le", "+Inf")];
        assert_eq!(of("service_probe_seconds_bucket", &infinite), count, "the last bucket holds all");
        assert_eq!(of("service_probe_failures_total", &tried), count);
        let buckets = samples["supervisor_service_probe_seconds_bucket"].iter();
        let counts: Vec<f64> =
            buckets.filter(|(labels, _)| labels["check"] == check).map(|(_, count)| *count).collect();
        assert!(counts.is_sorted(), "buckets add up: {counts:?}");
    }
}

#[test]
fn metrics_are_open_over_tcp_unless_the_group_is_closed() {
    let service = "[services.t]\ncommand = './puppet wait'";
    let open = Setup::of(service).http("listen = '127.0.0.1:0'").start();
    let answer = over_tcp(open.http_address(), "GET", "/metrics", &[]).expect("an answer");
    assert_eq!(answer.status, 200);
    parsed(&answer.text(), Format::Prometheus);
    let closed = Setup::of(service).http("listen = '127.0.0.1:0'\nopen = ['health', 'status']").start();
    assert_eq!(over_tcp(closed.http_address(), "GET", "/metrics", &[]).expect("an answer").status, 401);
}

#[test]
fn a_service_is_charged_with_its_whole_tree_and_never_less_than_before() {
    let stack = Setup::of(
        "[services.busy]\ncommand = ['sh', '-c', 'while :; do seq 1 20000 > /dev/null; done']\n\
         [services.family]\ncommand = ['sh', '-c', 'sleep 1000 & setsid sleep 1000 & sleep 1000']\n\
         [services.idle]\ncommand = ['sleep', '1000']\n",
    )
    .start();
    let usage = |name: &str| stack.get(&format!("/api/v1/services/{name}?resources=true")).json()["resources"].clone();
    let cpu = |name: &str| usage(name)["cpu_ms"].as_u64().expect("it is measured");
    let first = cpu("busy");
    let later = eventually("CPU time to be seen", || Some(cpu("busy")).filter(|ms| *ms >= first + 100));
    // Its children, none of which lives for long, used most of it.
    assert!(later >= first + 100);
    assert!(cpu("idle") < 100);
    let family = eventually("the whole family", || Some(usage("family")).filter(|family| family["processes"] == 4));
    assert_eq!(family["threads"], 4);
    let one = usage("idle")["memory_bytes"].as_u64().expect("it is measured");
    assert!(family["memory_bytes"].as_u64().expect("it is measured") > 3 * one);
    assert!(usage("busy")["cpu_cores"].as_f64().expect("it is measured") > 0.01);
    assert!(stack.service("busy").0.get("resources").is_none(), "nobody asked");
}

#[test]
fn status_and_why_show_what_a_service_uses() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let table = stack.cli(&["status"]).succeeded().stdout;
    let head = table.lines().next().unwrap_or_default();
    assert!(head.contains("CPU") && head.contains("MEM"), "{table}");
    let why = stack.cli(&["why", "t"]).succeeded().stdout;
    assert!(why.lines().any(|line| line.contains("memory") && line.contains("descriptors")), "{why}");
    let json: serde_json::Value =
        serde_json::from_str(&stack.cli(&["status", "--json"]).succeeded().stdout).expect("JSON");
    assert!(json["services"][0]["resources"]["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
}
