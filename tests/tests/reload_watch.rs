//! A saved file is noticed, however it was saved, and put in force once.
//! Not here: what a reload does (`reload`).

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Cell, Setup, Stack, User, eventually, free_port, holds_for, is_root, skip, variable};

const ONE: &str = "[services.a]\ncommand = './puppet wait'\nenv = { LEVEL = 'first' }\n";

fn revision(stack: &Stack) -> u64 {
    stack.status()["config"]["revision"].as_u64().expect("there is one")
}

fn level(stack: &Stack) -> String {
    let Some(pid) = stack.service("a").pid() else { return String::new() };
    variable(pid, "LEVEL").unwrap_or_default()
}

#[track_caller]
fn wait_for_level(stack: &Stack, wanted: &str) {
    eventually(&format!("the level {wanted}"), || (level(stack) == wanted).then_some(()));
}

/// Saves three times with a pause, then twenty times without; each content counts once, and the last one wins.
fn saved(save: impl Fn(&Path, &str)) {
    let stack = Setup::of(ONE).start();
    let file = stack.path("supervisor.toml");
    let text = fs::read_to_string(&file).expect("it is there");
    for round in 0..3 {
        save(&file, &text.replace("first", &format!("round {round}")));
        wait_for_level(&stack, &format!("round {round}"));
        holds_for(Duration::from_millis(400), "one reload", || revision(&stack) == round + 2);
    }
    for burst in 0..20 {
        save(&file, &text.replace("first", &format!("burst {burst}")));
    }
    wait_for_level(&stack, "burst 19");
    assert_eq!(revision(&stack), 5, "one reload for all of them");
    assert_eq!(stack.service("a").generation(), 5);
}

#[test]
fn a_file_that_is_written_in_place_is_noticed() {
    saved(|file, text| fs::write(file, text).unwrap());
}

#[test]
fn a_file_that_is_written_in_parts_is_read_when_it_is_whole() {
    saved(|file, text| {
        let mut writer = OpenOptions::new().write(true).truncate(true).open(file).unwrap();
        let (one, other) = text.split_at(text.len() / 2);
        writer.write_all(one.as_bytes()).unwrap();
        // Longer than anyone waits for another save.
        std::thread::sleep(Duration::from_millis(if text.contains("round") { 600 } else { 1 }));
        writer.write_all(other.as_bytes()).unwrap();
    });
}

#[test]
fn a_file_that_is_renamed_over_is_noticed() {
    saved(|file, text| {
        let new = file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, file).unwrap();
    });
}

#[test]
fn a_file_that_is_deleted_and_made_again_is_noticed() {
    saved(|file, text| {
        fs::remove_file(file).unwrap();
        File::create_new(file).unwrap().write_all(text.as_bytes()).unwrap();
    });
}

#[test]
fn a_file_that_sed_edits_is_noticed() {
    saved(|file, text| {
        let level = text.split_once("LEVEL = '").unwrap().1.split_once('\'').unwrap().0;
        let script = format!("s/LEVEL = '[^']*'/LEVEL = '{level}'/");
        assert!(Command::new("sed").arg("-i").arg(script).arg(file).status().unwrap().success());
    });
}

/// As vim does it: the old one becomes a backup, a new one is written, the backup goes.
#[test]
fn a_file_that_is_backed_up_and_written_anew_is_noticed() {
    saved(|file, text| {
        let backup = file.with_extension("toml~");
        fs::rename(file, &backup).unwrap();
        fs::write(file, text).unwrap();
        fs::remove_file(backup).unwrap();
    });
}

/// As config maps are updated: the file is a link through a link to a directory, which is swapped.
#[test]
fn a_file_behind_links_that_are_swapped_is_noticed() {
    let count = std::cell::Cell::new(0);
    saved(|file, text| {
        let root = file.parent().unwrap();
        count.set(count.get() + 1);
        let release = format!("release-{}", count.get());
        fs::create_dir(root.join(&release)).unwrap();
        fs::write(root.join(&release).join("supervisor.toml"), text).unwrap();
        symlink(&release, root.join("data.new")).unwrap();
        fs::rename(root.join("data.new"), root.join("data")).unwrap();
        if !file.is_symlink() {
            symlink("data/supervisor.toml", root.join("link")).unwrap();
            fs::rename(root.join("link"), file).unwrap();
        }
    });
}

#[test]
fn files_that_are_included_or_hold_variables_are_watched_too_there_or_not() {
    let stack = Setup::of("[services.a]\ncommand = './puppet wait'\nenv_file = ['conf/.env?']\n").prepare();
    let main = stack.path("supervisor.toml");
    let text = fs::read_to_string(&main).unwrap();
    fs::write(&main, format!("include = ['parts/*/more.toml']\n{text}")).unwrap();
    stack.cli(&["start"]).succeeded();
    fs::create_dir(stack.path("conf")).unwrap();
    fs::write(stack.path("conf/.env"), "LEVEL=file").unwrap();
    wait_for_level(&stack, "file");
    fs::create_dir_all(stack.path("parts/one")).unwrap();
    fs::write(stack.path("parts/one/more.toml"), "[services.b]\ncommand = '../../puppet wait'\n").unwrap();
    eventually("the new service", || (stack.get("/api/v1/services/b").status == 200).then_some(()));
    stack.wait_for("b", "running");
    fs::write(stack.path("parts/one/more.toml"), "").unwrap();
    eventually("the new service to be gone", || (stack.get("/api/v1/services/b").status == 404).then_some(()));
}

#[test]
fn a_file_that_becomes_empty_stops_nothing_unless_that_is_asked_for() {
    let stack = Setup::of(ONE).start();
    let (pid, file) = (stack.pid("a"), stack.path("supervisor.toml"));
    let text = fs::read_to_string(&file).unwrap();
    let (head, _) = text.split_once("[services.a]").unwrap();
    for content in ["", head] {
        fs::write(&file, content).unwrap();
        eventually("a word about it", || stack.status()["config"]["rejected"].is_object().then_some(()));
        assert_eq!(stack.pid("a"), pid);
        fs::write(&file, &text).unwrap();
        eventually("that it is mended", || stack.status()["config"]["rejected"].is_null().then_some(()));
    }
    fs::write(&file, head).unwrap();
    stack.cli(&["reload"]).succeeded();
    eventually("it to be gone", || (stack.get("/api/v1/services/a").status == 404).then_some(()));
}

#[test]
fn whoever_does_not_want_it_is_left_alone() {
    let stack = Setup::of(ONE).supervisor("auto_reload = false").start();
    let file = stack.path("supervisor.toml");
    let text = fs::read_to_string(&file).unwrap().replace("first", "second");
    fs::write(&file, &text).unwrap();
    holds_for(Duration::from_millis(800), "the first level", || level(&stack) == "first");
    fs::write(&file, text.replace("auto_reload = false", "")).unwrap();
    stack.cli(&["reload"]).succeeded();
    wait_for_level(&stack, "second");
    fs::write(&file, text.replace("auto_reload = false", "").replace("second", "third")).unwrap();
    wait_for_level(&stack, "third");
}

#[test]
fn what_was_saved_while_control_was_away_counts_when_it_is_back() {
    let stack = Setup::of(ONE).start();
    let control = stack.control();
    e2e::send(control, e2e::Signal::SIGSTOP);
    let file = stack.path("supervisor.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("first", "second")).unwrap();
    e2e::send(control, e2e::Signal::SIGKILL);
    wait_for_level(&stack, "second");
}

#[test]
fn where_nothing_can_be_watched_files_are_looked_at() {
    let Some(words) = unwatched() else {
        return skip("where_nothing_can_be_watched_files_are_looked_at", "no user namespace can be made here");
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut stack = Setup::of(ONE).as_user(User::Current).before(&words).prepare();
    stack.run();
    stack.wait_for("a", "running");
    let file = stack.path("supervisor.toml");
    let text = fs::read_to_string(&file).unwrap();
    for round in ["second", "third"] {
        fs::write(&file, text.replace("first", round)).unwrap();
        eventually("the new level", || {
            let all = stack.processes();
            all.iter().any(|one| variable(one.pid, "LEVEL").as_deref() == Some(round)).then_some(())
        });
    }
    let log = fs::read_to_string(stack.path("logs/supervisor.log")).unwrap();
    assert_eq!(log.matches("files cannot be watched").count(), 1, "{log}");
}

/// Words before a command, so that the kernel grants it no watch. The limit is that of a namespace of its own.
fn unwatched() -> Option<Vec<String>> {
    Cell::available()?;
    // Who is root there and nowhere else refuses what the machine's root owns: it goes on as an ordinary user.
    let user = if is_root() { "" } else { "unshare --user --map-user=1000" };
    let script = &format!("echo 0 > /proc/sys/user/max_inotify_watches && exec {user} \"$@\"");
    let words = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"].map(str::to_owned);
    let works = Command::new(&words[0]).args(&words[1..]).arg("true").status();
    works.is_ok_and(|status| status.success()).then(|| words.to_vec())
}

/// A service that takes a held listener, and ends at once where its level is bad.
fn handed(port: u16, level: &str) -> String {
    format!(
        "[services.a]\ncommand = 'test \"$LEVEL\" = bad && exit 7; exec ./exemplar'\nshell = true\nport = {port}\n\
         env = {{ LEVEL = '{level}' }}\nready = {{ notify = true }}\n\
         rollout = {{ handoff = 'socket', drain_signal = 'USR2', bake = '1500ms' }}\n"
    )
}

#[test]
fn a_reload_that_comes_after_the_watch_waits_for_what_that_began() {
    let port = free_port();
    let stack = Setup::of(&handed(port, "first")).start();
    stack.edit("'first'", "'second'");
    stack.wait_until("a", "a successor", |service| service.0["rollout"]["phase"] == "baking");
    let joined = stack.cli(&["reload"]).succeeded();
    assert!(joined.stdout.contains("1 -> 2"), "{}{}", joined.stdout, joined.stderr);
    assert_eq!(stack.service("a").0["rollout"]["result"], "done");
}

#[test]
fn a_reload_that_comes_after_the_watch_fails_when_that_was_rolled_back() {
    let port = free_port();
    let stack = Setup::of(&handed(port, "first")).start();
    stack.edit("'first'", "'bad'");
    stack.wait_until("a", "the way back", |service| service.0["rollout"]["result"] == "rolled-back");
    let joined = stack.cli(&["reload"]).ended_with(1);
    assert!(joined.stderr.contains("rolled back: generation 2: exited with code 7"), "{}", joined.stderr);
    stack.edit("'bad'", "'first'");
    eventually("the first configuration again", || (stack.cli(&["reload"]).code == 0).then_some(()));
}
