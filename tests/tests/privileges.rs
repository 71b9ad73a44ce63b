//! What a service may, and what it may not have from the supervisor: privileges, priorities, protection.
//! Not here: descriptors, signals and the environment (`inheritance`).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use e2e::{Group, Setup, Stack, User, is_root, skip};
use serde_json::{Value, json};

const DUMP: &str = "[services.t]\ncommand = './puppet sigdump'\n";
const NO_CAPABILITY: &str = "0000000000000000";

fn dump(stack: &Stack) -> Value {
    let text = stack.wait_log("t", "}\n");
    let line = text.lines().find(|line| line.starts_with('{')).expect("the log holds the line");
    serde_json::from_str(line).expect("the puppet prints JSON")
}

#[test]
fn root_is_told_by_the_supervisor_of_another_user_and_may_stop_it() {
    if !root_for("root_is_told_by_the_supervisor_of_another_user_and_may_stop_it") {
        return;
    }
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").as_user(User::Ordinary).prepare();
    // Where everything lies by default.
    let text = stack.text();
    let kept = text.lines().filter(|line| !line.starts_with("runtime_dir") && !line.starts_with("state_dir"));
    stack.save(&kept.collect::<Vec<_>>().join("\n"));
    stack.cli(&["start"]).succeeded();
    let root = |command: &str| {
        let mut ours = Command::new(e2e::supervisor());
        let done = ours.args([command, "--config"]).arg(stack.path("supervisor.toml")).output().expect("it runs");
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    assert!(root("status").contains("running"));
    root("stop");
    stack.cli(&["status"]).ended_with(3);
}

/// Says that it is skipped, unless the test runs as root.
fn root_for(test: &str) -> bool {
    if !is_root() {
        skip(test, "only root may be two users");
    }
    is_root()
}

fn as_nobody(words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).args(words);
    command
}

fn of_proc(pid: i32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs")
}

#[test]
fn nobody_of_the_same_user_reads_the_memory_of_the_roles_and_services_are_as_open_as_ever() {
    if !root_for("nobody_of_the_same_user_reads_the_memory_of_the_roles_and_services_are_as_open_as_ever") {
        return;
    }
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'")
        .as_user(User::Ordinary)
        .before(&["bash", "-c", "ulimit -Sc 4096; exec \"$@\"", "bash"])
        .start();
    let readable = |pid: i32| {
        let path = format!("/proc/{pid}/environ");
        as_nobody(&["cat", &path]).output().expect("setpriv runs").status.success()
    };
    let core = |pid: i32| {
        let limits = of_proc(pid, "limits");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("proc has it");
        line.split_whitespace().next().expect("a soft limit").to_owned()
    };
    for role in [stack.keeper(), stack.control()] {
        assert!(!readable(role), "a role shows its memory");
        assert_eq!(core(role), "0");
    }
    let service = stack.pid("t");
    assert!(readable(service));
    assert_eq!(core(service), (4096 * 1024).to_string());
}

#[test]
fn a_program_with_the_set_user_id_mode_gains_nothing_in_a_service_of_another_user() {
    let name = "a_program_with_the_set_user_id_mode_gains_nothing_in_a_service_of_another_user";
    if !root_for(name) {
        return;
    }
    let stack = Setup::of("[services.t]\ntype = 'oneshot'\ncommand = ['./id', '-u']\nuser = '65534'\ngroup = '65534'")
        .prepare();
    fs::set_permissions(stack.root(), fs::Permissions::from_mode(0o755)).expect("ours");
    let id = stack.path("id");
    fs::copy("/usr/bin/id", &id).expect("every system has it");
    chown(&id, Some(0), Some(0)).expect("root may");
    fs::set_permissions(&id, fs::Permissions::from_mode(0o4755)).expect("root may");
    let elsewhere = as_nobody(&[&id.display().to_string(), "-u"]).output().expect("setpriv runs").stdout;
    if elsewhere != b"0\n" {
        return skip(name, "the temporary directory is mounted nosuid");
    }
    stack.cli(&["start", "--no-wait"]).succeeded();
    stack.wait_for("t", "completed");
    assert_eq!(stack.wait_log("t", "\n"), "65534\n");
}

#[test]
fn a_service_of_another_user_has_no_capability_and_can_get_none() {
    if !root_for("a_service_of_another_user_has_no_capability_and_can_get_none") {
        return;
    }
    let stack = Setup::of(&format!("{DUMP}user = '65534'\ngroup = '65534'"))
        .before(&["setpriv", "--inh-caps", "+net_bind_service,+net_raw", "--ambient-caps", "+net_raw"])
        .start();
    assert_eq!(dump(&stack)["capabilities"], json!([NO_CAPABILITY].repeat(5)));
}

#[test]
fn a_service_of_an_ordinary_user_inherits_no_capability_that_the_supervisor_was_given() {
    if !root_for("a_service_of_an_ordinary_user_inherits_no_capability_that_the_supervisor_was_given") {
        return;
    }
    let become_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let with = ["--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"];
    let stack = Setup::of(DUMP).before(&[become_nobody.as_slice(), with.as_slice()].concat()).prepare();
    for dir in [stack.root().to_owned(), stack.path("supervisor.toml")] {
        chown(dir, Some(65534), Some(65534)).expect("root may");
    }
    stack.cli(&["start"]).succeeded();
    let dump = dump(&stack);
    let all = dump["capabilities"].as_array().expect("an array");
    assert!([0, 1, 2, 4].iter().all(|kind| all[*kind] == NO_CAPABILITY), "{all:?}");
}

#[test]
fn a_service_of_root_keeps_what_root_has() {
    if !root_for("a_service_of_root_keeps_what_root_has") {
        return;
    }
    let stack = Setup::of(DUMP).start();
    let own = of_proc(std::process::id().cast_signed(), "status");
    let own = own.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("proc has it").trim();
    assert_eq!(dump(&stack)["capabilities"][2], own);
}

#[test]
fn odd_priorities_of_a_supervisor_run_by_root_are_not_its_services() {
    if !root_for("odd_priorities_of_a_supervisor_run_by_root_are_not_its_services") {
        return;
    }
    let odd = ["nice", "-n", "5", "chrt", "--batch", "0", "ionice", "-c", "3", "choom", "-n", "300", "--"];
    let stack = Setup::of(DUMP).before(&odd).start();
    let dump = dump(&stack);
    assert_eq!((&dump["nice"], &dump["policy"]), (&json!("0"), &json!("0")));
    let pid = stack.pid("t").to_string();
    let io = Command::new("ionice").args(["-p", &pid]).output().expect("ionice runs").stdout;
    assert!(io.starts_with(b"none"), "{}", String::from_utf8_lossy(&io));
}

#[test]
fn an_env_file_that_others_can_write_does_not_say_which_libraries_a_service_loads() {
    let stack = Setup::of(&format!("{DUMP}env_file = 'open.env'")).as_user(User::Ordinary).prepare();
    let file = stack.path("open.env");
    fs::write(&file, "LD_LIBRARY_PATH=/nowhere\nLD_SDK_KEY=theirs\n").expect("the directory can be written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("ours");
    if is_root() {
        chown(&file, Some(65534), Some(65534)).expect("root may");
    }
    let told = format!("{}: `LD_LIBRARY_PATH` is left out: ", file.display());
    let check = stack.cli(&["check"]).succeeded();
    assert!(check.stderr.contains(&told), "{}", check.stderr);
    stack.cli(&["start"]).succeeded();
    let env = &dump(&stack)["env"];
    assert_eq!((&env["LD_LIBRARY_PATH"], &env["LD_SDK_KEY"]), (&Value::Null, &json!("theirs")));
    stack.wait_log("supervisor", &told);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).expect("ours");
    let pid = stack.pid("t");
    stack.cli(&["reload"]).succeeded();
    let env = of_proc(
        stack.wait_until("t", "its next run", |t| t.pid().is_some_and(|now| now != pid)).pid().expect("it runs"),
        "environ",
    );
    assert!(env.contains("LD_LIBRARY_PATH=/nowhere"), "mended, it counts");
}

#[test]
fn the_out_of_memory_killer_takes_a_service_before_a_role() {
    let stack = Setup::of(DUMP).before(&["choom", "-n", "200", "--"]).as_user(User::Ordinary).start();
    assert_eq!(dump(&stack)["oom_score_adj"], "300");
    for role in [stack.keeper(), stack.control()] {
        assert_eq!(of_proc(role, "oom_score_adj").trim(), "200");
    }
}

#[test]
fn roots_roles_are_nearly_spared_by_the_out_of_memory_killer_where_root_may_do_that() {
    let name = "roots_roles_are_nearly_spared_by_the_out_of_memory_killer_where_root_may_do_that";
    if !root_for(name) {
        return;
    }
    let may = Command::new("choom").args(["-n", "-500", "--", "true"]).status().is_ok_and(|status| status.success());
    // Started with, of a service, of the roles. Without CAP_SYS_RESOURCE, as in most containers, root is like others.
    let cases = if may {
        vec![("-900", "0", "-900"), ("0", "0", "-500"), ("700", "0", "-500")]
    } else {
        vec![("0", "100", "0"), ("700", "800", "700")]
    };
    for (before, service, roles) in cases {
        let stack = Setup::of(DUMP).before(&["choom", "-n", before, "--"]).start();
        assert_eq!(dump(&stack)["oom_score_adj"], service, "started with {before}");
        for role in [stack.keeper(), stack.control()] {
            assert_eq!(of_proc(role, "oom_score_adj").trim(), roles, "started with {before}");
        }
    }
}

#[test]
fn a_service_that_eats_all_memory_is_killed_and_the_supervisor_is_not() {
    let name = "a_service_that_eats_all_memory_is_killed_and_the_supervisor_is_not";
    let Some(cramped) = is_root().then(|| Group::of_memory(128)).flatten() else {
        return skip(name, "only root with a memory controller can make memory scarce");
    };
    let words = cramped.words();
    let mut stack = Setup::of(
        "[services.hog]\ncommand = './puppet hog 1000'\nrestart = { delay = '50ms', max_delay = '100ms' }\n\
         [services.small]\ncommand = './puppet wait'",
    )
    .before(&words.each_ref().map(String::as_str))
    .start_no_wait();
    let (keeper, control, small) = (stack.keeper(), stack.control(), stack.pid("small"));
    let hog = stack.wait_until("hog", "killed three times", |service| service.restarts() >= 3);
    assert_eq!(hog.last_exit()["signal"], "KILL");
    assert_eq!((stack.keeper(), stack.control(), stack.pid("small")), (keeper, control, small));
    stack.stop();
}
