//! What a service finds when it starts: nothing of the supervisor's own, and all that was declared.
//! Not here: the steps of a launch; the keeper's own tests show those.

use e2e::{Setup, Stack, User, free_port, is_root, skip};
use serde_json::{Value, json};

const DUMP: &str = "[services.t]\ncommand = './puppet sigdump'\n";

fn dump(stack: &Stack) -> Value {
    let text = stack.wait_log("t", "}\n");
    let line = text.lines().find(|line| line.starts_with('{')).expect("the log holds the line");
    serde_json::from_str(line).expect("the puppet prints JSON")
}

#[test]
fn no_blocked_or_ignored_signal_is_inherited_and_exits_are_still_seen() {
    let stack = Setup::of(
        "[services.t]\ntype = 'oneshot'\ncommand = ['cat', '/proc/self/status']\n\
         [services.u]\ncommand = './puppet exit-code 5'\nrestart = { policy = 'no' }",
    )
    .before(&["env", "--block-signal=TERM,USR1,CHLD", "--ignore-signal=PIPE,HUP,INT,CHLD,QUIT"])
    .start_no_wait();
    stack.wait_for("t", "completed");
    let text = stack.wait_log("t", "SigIgn");
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).expect("proc has it").to_owned();
    assert_eq!(line("SigBlk"), "SigBlk:\t0000000000000000");
    assert_eq!(line("SigIgn"), "SigIgn:\t0000000000000000");
    let failed = stack.wait_for("u", "failed");
    assert_eq!(failed.last_exit()["code"], 5);
    let mut stack = stack;
    stack.stop();
}

#[test]
fn only_the_declared_descriptors_are_inherited() {
    let leak = "exec 3</etc/passwd 77</dev/zero 251</etc/hostname; exec \"$@\"";
    let stack = Setup::of(DUMP).before(&["bash", "-c", leak, "bash"]).start();
    let dump = dump(&stack);
    let fds = dump["fds"].as_object().expect("an object");
    assert_eq!(fds.keys().collect::<Vec<_>>(), ["0", "1", "2"], "{fds:?}");
    assert_eq!(fds["0"], "/dev/null");
    assert!(fds["1"].as_str().is_some_and(|target| target.starts_with("pipe:")));
    assert_eq!(fds["1"], fds["2"], "both streams are one pipe");
}

#[test]
fn held_listeners_come_from_three_on_with_their_names() {
    let (main, private) = (free_port(), free_port());
    let stack = Setup::of(&format!(
        "{DUMP}port = {main}\nports = {{ private = {private} }}\nrollout = {{ handoff = 'socket' }}"
    ))
    .start();
    let dump = dump(&stack);
    assert_eq!(dump["env"]["LISTEN_FDS"], "2");
    assert_eq!(dump["env"]["LISTEN_FDNAMES"], "http:private");
    assert_eq!(dump["env"]["LISTEN_PID"], dump["pid"].to_string());
    assert_eq!(dump["env"]["PORT"], main.to_string());
    assert_eq!(dump["env"]["PORT_PRIVATE"], private.to_string());
    let fds = dump["fds"].as_object().expect("an object");
    assert_eq!(fds.len(), 5, "{fds:?}");
    assert!(fds["3"].as_str().is_some_and(|target| target.starts_with("socket:")));
}

#[test]
fn the_environment_holds_the_base_set_and_the_services_own_and_nothing_else() {
    let stack = Setup::of(&format!("{DUMP}env = {{ OWN = 'mine' }}"))
        .env("SECRET_OF_THE_SHELL", "do not pass on")
        .env("LISTEN_FDS", "7")
        .env("LISTEN_PID", "1")
        .env("NOTIFY_SOCKET", "/nowhere")
        .env("LANG", "C")
        .start();
    let dump = dump(&stack);
    let env = dump["env"].as_object().expect("an object");
    let known = [
        "PATH",
        "HOME",
        "LANG",
        "TZ",
        "TMPDIR",
        "USER",
        "OWN",
        "SUPERVISOR_SERVICE",
        "SUPERVISOR_GENERATION",
        "SUPERVISOR_INSTANCE",
        "SUPERVISOR_COOKIE",
        "SUPERVISOR_DRAIN_TIMEOUT_MS",
        "SUPERVISOR_LONG_LIVED_CLOSE_AFTER_MS",
        "SUPERVISOR_LONG_LIVED_SPREAD_MS",
        "SUPERVISOR_STOP_TIMEOUT_MS",
        "SUPERVISOR_SOFT_SIGNAL",
    ];
    let unknown: Vec<_> = env.keys().filter(|key| !known.contains(&key.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert_eq!(env["OWN"], "mine");
    assert_eq!(env["SUPERVISOR_SERVICE"], "t");
    assert_eq!(env["SUPERVISOR_GENERATION"], "1");
}

#[test]
fn a_service_leads_a_session_of_its_own_in_its_directory_with_the_documented_defaults() {
    let stack = Setup::of(DUMP).before(&["bash", "-c", "umask 0; ulimit -Sn 900; exec \"$@\"", "bash"]).start();
    let dump = dump(&stack);
    assert_eq!(dump["sid"], dump["pid"]);
    assert_eq!(dump["pgid"], dump["pid"]);
    assert_eq!(dump["umask"], "022");
    assert_eq!(dump["cwd"], json!(stack.root()));
    assert_eq!(dump["nofile"][0], 900, "the original soft limit, not the supervisor's raised one");
}

#[test]
fn declared_umask_directory_and_limits_are_kept() {
    let stack = Setup::of(&format!("{DUMP}umask = '077'\ncwd = 'logs'\nlimits = {{ nofile = 300 }}")).prepare();
    std::fs::create_dir_all(stack.path("logs")).expect("ours");
    stack.cli(&["start"]).succeeded();
    let dump = dump(&stack);
    assert_eq!(dump["umask"], "077");
    assert_eq!(dump["cwd"], json!(stack.path("logs")));
    assert_eq!(dump["nofile"][0], 300);
}

#[test]
fn another_user_is_become_wholly_and_for_good() {
    let name = "another_user_is_become_wholly_and_for_good";
    if !is_root() {
        return skip(name, "only root may change the user");
    }
    let stack = Setup::of(&format!("{DUMP}user = '65534'\ngroup = '65534'\n")).start();
    let dump = dump(&stack);
    assert_eq!(dump["uid"], json!([65534, 65534, 65534]));
    assert_eq!(dump["gid"], json!([65534, 65534, 65534]));
    let groups = dump["groups"].as_array().expect("an array");
    assert!(groups.iter().all(|group| group == 65534), "{groups:?}");
    assert_eq!(dump["no_new_privs"], "1");
}

#[test]
fn standard_input_is_empty_and_no_terminal_is_found() {
    let stack = Setup::of("[services.t]\ncommand = './puppet ttyread'").prepare();
    let (mut terminal, ..) = stack.spawn_in_terminal(&["start"]);
    let text = stack.wait_log("t", "tty:");
    assert_eq!(text, "stdin: 0 bytes\ntty: 6\n", "ENXIO: there is no controlling terminal");
    terminal.wait().expect("our child");
}

#[test]
fn nothing_of_a_command_reaches_a_shell() {
    let stack = Setup::of(
        "[services.t]\ncommand = ['./puppet', 'sigdump', '; touch owned', '`touch owned`', '$(touch owned)', '| touch owned', '*']\n\
         env = { A = '$$(touch owned)', B = '`touch owned`' }\n\
         [services.split]\ncommand = './puppet sigdump \"a b\" \"; touch owned\" \"&&\" x'",
    )
    .start();
    let dump = dump(&stack);
    let args: Vec<&str> = dump["args"].as_array().expect("an array").iter().filter_map(Value::as_str).collect();
    assert_eq!(args[2..], ["; touch owned", "`touch owned`", "$(touch owned)", "| touch owned", "*"]);
    assert_eq!(dump["env"]["A"], "$(touch owned)");
    let split = stack.wait_log("split", "}\n");
    assert!(["a b", "; touch owned", "&&"].iter().all(|word| split.contains(word)), "{split}");
    assert!(!stack.path("owned").exists());
}

#[test]
fn a_shell_is_there_for_who_asks() {
    let stack =
        Setup::of("[services.t]\ncommand = 'echo one && echo two | tr a-z A-Z; exec ./puppet wait'\nshell = true")
            .start();
    assert_eq!(stack.wait_log("t", "TWO"), "one\nTWO\n");
}

#[test]
fn sockets_state_and_directories_are_closed_to_others_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'")
        .before(&["bash", "-c", "umask 0; exec \"$@\"", "bash"])
        .start();
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&stack.socket()), 0o600);
    assert_eq!(mode(&stack.path("run")), 0o700);
    assert_eq!(mode(&stack.path("state")), 0o700);
    for entry in std::fs::read_dir(stack.path("state")).expect("there").flatten() {
        assert_eq!(mode(&entry.path()) & 0o077, 0, "{}", entry.path().display());
    }
}

#[test]
fn another_user_cannot_reach_the_api() {
    let name = "another_user_cannot_reach_the_api";
    if !is_root() {
        return skip(name, "only root can be two users");
    }
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").as_user(User::Ordinary).start();
    let socket = stack.socket();
    let ask = |socket: &std::path::Path| {
        let url = ["--silent", "--show-error", "--max-time", "5", "--write-out", "%{http_code}", "--unix-socket"];
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid", "65533", "--regid", "65533", "--clear-groups", "curl"]).args(url);
        let done = command.arg(socket).arg("http://localhost/api/v1/status").output().expect("setpriv runs");
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    assert_eq!(ask(&socket), "000", "the directory is closed");
    use std::os::unix::fs::PermissionsExt;
    for (path, mode) in [(stack.root().to_owned(), 0o755), (stack.path("run"), 0o755), (socket.clone(), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("root may");
    }
    let answer = ask(&socket);
    assert!(answer.is_empty() || answer == "000" || answer.ends_with("403"), "even with open modes: {answer}");
}
