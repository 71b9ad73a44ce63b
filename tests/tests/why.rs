//! `why`: what a person needs who was woken up by a service.
//! Not here: the journal itself (`events`).

use std::net::TcpListener;

use e2e::{Setup, Signal, Stack, User, eventually, free_port, send};
use serde_json::Value;

fn why(stack: &Stack, name: &str, code: i32) -> String {
    stack.cli(&["why", name]).ended_with(code).stdout
}

fn report(stack: &Stack, name: &str) -> Value {
    let text = stack.cli(&["why", name, "--json"]).stdout;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Once the page of a service holds `part`.
#[track_caller]
fn page(stack: &Stack, name: &str, part: &str) -> String {
    eventually(&format!("why {name} to tell {part:?}"), || {
        Some(stack.cli(&["why", name]).stdout).filter(|page| page.contains(part))
    })
}

#[track_caller]
fn tells(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part:?} is missing:\n{page}");
    }
}

#[test]
fn a_busy_port_names_who_holds_it_and_what_to_do() {
    let ours = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let port = ours.local_addr().expect("it is bound").port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen --inherited'\nport = {port}\nrollout = {{ handoff = 'socket' }}"
    ))
    .start_no_wait();
    stack.wait_for("t", "failed");
    let me = std::process::id();
    let page = why(&stack, "t", 1);
    tells(&page, &["t: failed", &format!("held by pid {me}"), "not of this stack", "next try", "every 5s"]);
    tells(&page, &[&format!("→ end pid {me}")]);
    let report = report(&stack, "t");
    assert_eq!(report["held_ports"][0]["holder"]["who"], "stranger");
    assert_eq!(report["held_ports"][0]["holder"]["pid"], me);
    assert!(report["next"]["at"].is_string() && report["schema_version"] == 1, "{report:#}");
    drop(ours);
    stack.wait_for("t", "running");
    tells(&why(&stack, "t", 0), &["t: running"]);
}

#[test]
fn a_port_that_another_service_holds_leads_to_that_service() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.thief]\ncommand = './puppet listen --port {port}'\n\
         [services.t]\ncommand = './puppet listen --inherited'\nport = {port}\nautostart = false\n\
         rollout = {{ handoff = 'socket' }}"
    ))
    .start();
    stack.wait_log("thief", "serving");
    stack.cli(&["start", "t", "--no-wait"]).succeeded();
    stack.wait_for("t", "failed");
    let thief = stack.pid("thief");
    let page = why(&stack, "t", 1);
    tells(&page, &[&format!("held by pid {thief}"), "service `thief` of this stack", "→ end service `thief`"]);
}

#[test]
fn a_missing_program_is_named_with_the_file_to_mend() {
    let stack = Setup::of("[services.t]\ncommand = './nowhere/program'").start_no_wait();
    let page = page(&stack, "t", "ENOENT");
    tells(&page, &["nowhere/program", "last ends", "no process came to be", "→ there is no such program"]);
    tells(&page, &[&stack.path("supervisor.toml").display().to_string()]);
}

#[test]
fn a_failing_check_is_told_with_its_answer_while_it_starts_and_after() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen --health health'\nport = {port}\n\
         ready = {{ http = '/health', deadline = '5s' }}\nrestart = {{ delay = '20s', max_delay = '20s' }}"
    ))
    .prepare();
    std::fs::write(stack.path("health"), "507").expect("the directory is ours");
    stack.cli(&["start", "--no-wait"]).succeeded();
    tells(&page(&stack, "t", "507"), &["t: starting", "http /health: status 507", "its own pid"]);
    stack.wait_for("t", "backoff");
    let page = why(&stack, "t", 1);
    tells(&page, &["not ready within 5s", "http /health: status 507", "the first failure: 20s", "nobody listens"]);
}

#[test]
fn a_crash_loop_shows_its_last_ends_what_they_cost_and_its_last_words() {
    let stack = Setup::of(
        "[services.t]\ncommand = [\"sh\", \"-c\", \"printf 'fatal: \\\\033[2Jno table\\\\n' >&2; exit 3\"]\n\
         restart = { delay = '20ms', max_delay = '60s', crash_loop = 4, jitter = 0.0 }",
    )
    .start_no_wait();
    stack.wait_for("t", "crash-loop");
    let page = why(&stack, "t", 1);
    tells(&page, &["t: crash-loop", "4 failures in a row, 4 or more are a crash loop", "the longest delay, 1m 00s"]);
    tells(
        &page,
        &["exited with code 3 after", "(generation 4, ", "(generation 1, ", "cpu", "fatal: \\x1b[2Jno table", "→ "],
    );
    assert!(!page.contains('\x1b'), "{page}");
    let report = report(&stack, "t");
    let ends: Vec<u64> =
        report["ends"].as_array().into_iter().flatten().filter_map(|end| end["generation"].as_u64()).collect();
    assert_eq!(ends, [4, 3, 2, 1], "the newest first");
}

#[test]
fn a_service_that_waits_says_for_what_and_how_that_is() {
    let stack = Setup::of(
        "[services.db]\ncommand = './puppet exit-code 7'\nrestart = { delay = '60s', max_delay = '60s' }\n\
         ready = { notify = true }\n[services.t]\ncommand = './puppet wait'\ndepends_on = ['db']",
    )
    .start_no_wait();
    stack.wait_for("db", "backoff");
    let page = page(&stack, "t", "db is backoff");
    tells(&page, &["t: waiting", "db ready; db is backoff: exited with code 7", "→ `supervisor why db`"]);
    assert_eq!(report(&stack, "t")["dependencies"][0]["holds"], false);
}

#[test]
fn a_service_that_is_well_is_told_in_few_words_and_a_stopped_one_how_to_start_it() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let pid = stack.pid("t");
    let page = why(&stack, "t", 0);
    tells(&page, &["t: running", &format!("pid {pid}, generation 1"), "log", "file"]);
    assert!(!page.contains("→") && page.lines().count() < 20, "{page}");
    send(pid, Signal::SIGKILL);
    stack.wait_until("t", "running again", |service| service.state() == "running" && service.pid() != Some(pid));
    tells(&why(&stack, "t", 0), &["killed by SIGKILL after", &format!("pid {pid}")]);
    stack.cli(&["stop", "t"]).succeeded();
    tells(&why(&stack, "t", 0), &["t: stopped", "ended by us", "→ `supervisor start t`"]);
    stack.cli(&["why", "ghost"]).ended_with(2);
    stack.stop();
    let done = stack.cli(&["why", "t"]).ended_with(3);
    tells(&done.stdout, &["what happened to t last", "killed by SIGKILL", "asked to stop"]);
    assert!(done.stderr.contains("no supervisor runs"), "{}", done.stderr);
}

#[test]
fn a_rejected_file_is_told_and_that_what_runs_is_older() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let text = stack.text();
    stack.save(&format!("{text}\nportt = 8001\n"));
    let page = page(&stack, "t", "was rejected");
    tells(&page, &["t: running", "supervisor.toml", "portt"]);
    assert!(report(&stack, "t")["config"]["rejected"]["errors"][0]["message"].is_string());
    let told = stack.cli(&["events", "--kind", "reload"]).succeeded().stdout;
    assert!(told.contains("rejected") && told.contains("portt"), "{told}");
    stack.save(&text);
    eventually("it to be in order again", || (!stack.cli(&["why", "t"]).stdout.contains("rejected")).then_some(()));
}

#[test]
fn a_wait_is_explained_by_what_is_in_force_whatever_the_file_says_meanwhile() {
    let keys = "restart = { delay = '20m', max_delay = '20m', jitter = 0.0 }";
    let stack = Setup::of(&format!(
        "[services.db]\ncommand = './puppet exit-code 7'\n{keys}\nready = {{ notify = true }}\n\
         [services.t]\ncommand = './puppet wait'\ndepends_on = ['db']"
    ))
    .supervisor("auto_reload = false")
    .start_no_wait();
    stack.wait_for("db", "backoff");
    let edited = stack.text().replace("'20m'", "'40m'").replace("['db']", "[]");
    // A reload is pending; then there is none to come.
    for written in [edited.clone(), format!("{edited}\nportt = 8001\n")] {
        stack.save(&written);
        tells(&why(&stack, "db", 1), &["the first failure: 20m 00s"]);
        tells(&why(&stack, "t", 1), &["t: waiting", "db ready; db is backoff"]);
    }
    stack.cli(&["reload"]).ended_with(2);
    tells(&why(&stack, "db", 1), &["the first failure: 20m 00s", "was rejected"]);
    stack.save(&edited);
    stack.cli(&["reload"]).succeeded();
    assert_eq!(stack.status()["services"][0]["restart"]["delay_ms"], 40 * 60 * 1000);
    stack.wait_for("t", "running");
}

#[test]
fn a_restart_that_was_rolled_back_is_told_although_the_service_is_well() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen --inherited --health health'\nport = {port}\n\
         rollout = {{ handoff = 'socket' }}\nready = {{ http = '/health', deadline = '1s' }}"
    ))
    .start();
    let pid = stack.pid("t");
    std::fs::write(stack.path("health"), "503").expect("the directory is ours");
    stack.cli(&["restart", "t"]);
    let page = page(&stack, "t", "rolled back");
    tells(&page, &["t: running", &format!("pid {pid}, generation 1"), "status 503", "asked for"]);
    tells(&page, &["once that is mended, `supervisor restart t` tries it again"]);
    let told = stack.cli(&["events", "t", "--kind", "rollout"]).succeeded().stdout;
    assert!(told.contains("rolled back"), "{told}");
}

#[test]
fn each_kind_of_end_leads_to_what_can_be_done_about_it() {
    const CALM: &str = "restart = { delay = '60s', max_delay = '60s', jitter = 0 }\n";
    let services = [
        ("locked", "command = './locked'", "→ it may not be run: `chmod +x "),
        ("script", "command = './script'", "the program that its first line names"),
        ("late", "command = './puppet wait'\nready = { notify = true, deadline = '300ms' }", "`ready.deadline` in "),
        (
            "sick",
            "command = './puppet wait'\nlive = { command = 'false', interval = '50ms' }",
            "→ it lived, but its check",
        ),
        ("shot", "command = ['sh', '-c', 'kill -9 $$$$']", "→ neither the supervisor nor a want of memory"),
        ("code", "command = './puppet exit-code 7'", "→ `supervisor logs code` shows all that it said"),
        ("absent", "command = 'no-such-program'", "→ install it, or say in "),
        (
            "secret",
            "command = './puppet wait'\nsecrets = { TOKEN = { file = 'nowhere' } }",
            "→ mend `secrets.TOKEN` of",
        ),
        (
            "mute",
            "command = ['sh', '-c', 'exec ./puppet wait']\nport = PORT\nrollout = { handoff = 'socket' }\n\
             ready = { http = '/', timeout = '50ms', deadline = '300ms' }",
            "→ `mute` inherits its port",
        ),
    ];
    let text: String = services.iter().map(|(name, lines, _)| format!("[services.{name}]\n{lines}\n{CALM}")).collect();
    for user in [User::Current, User::Ordinary] {
        let stack = Setup::of(&text.replace("PORT", &free_port().to_string())).as_user(user).prepare();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::write(stack.path("locked"), "").expect("the directory is ours");
        std::fs::write(stack.path("script"), "#!/no/such/interpreter\n").expect("the directory is ours");
        std::fs::set_permissions(stack.path("script"), executable).expect("it is ours");
        stack.cli(&["start", "--no-wait"]).succeeded();
        for (name, _, advice) in services {
            stack.wait_for(name, "backoff");
            tells(&page(&stack, name, "last ends"), &[advice]);
        }
    }
}

#[test]
fn of_a_stopped_service_it_tells_what_was_asked_and_that_it_had_to_be_killed() {
    let mut stack = Setup::of(
        "[services.deaf]\ncommand = ['sh', '-c', 'echo I hear nothing; exec ./puppet ignore-term']\n\
         stop = { timeout = '100ms' }\n[services.other]\ncommand = './puppet wait'",
    )
    .start();
    stack.wait_log("deaf", "I hear nothing");
    stack.cli(&["stop", "deaf"]).succeeded();
    let told = page(&stack, "deaf", "killed by SIGKILL");
    tells(
        &told,
        &["asked for    stop, ", "→ `supervisor start deaf` starts it; should it have ended by itself, `stop.timeout`"],
    );
    stack.stop();
    let past = stack.cli(&["why", "deaf"]).ended_with(3);
    tells(&past.stdout, &["killed by SIGKILL", "its last output", "  I hear nothing"]);
    assert!(past.stderr.contains("no supervisor runs"), "{}", past.stderr);
}
