//! Completion as a shell asks for it, and manual pages.
//! Not here: what the commands do.

use std::process::Command;

use e2e::{Setup, Stack, supervisor};

fn stack() -> Stack {
    Setup::of(
        "[services.alpha]\ncommand = './puppet wait'\n[services.alpine]\ncommand = './puppet wait'\n\
               [services.beta]\ncommand = './puppet wait'",
    )
    .prepare()
}

/// What bash offers for the last of these words, by the script itself.
fn bash(stack: &Stack, words: &str) -> Vec<String> {
    let script = format!(
        "source <('{}' completions bash)\nCOMP_WORDS=({words})\nCOMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))\nCOMP_TYPE=9\n\
         _clap_complete_supervisor supervisor \"${{COMP_WORDS[COMP_CWORD]}}\"\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        supervisor().display()
    );
    let done = Command::new("bash").args(["-c", &script]).current_dir(stack.root()).output().expect("bash runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_the_services_of_the_file() {
    let stack = stack();
    assert_eq!(bash(&stack, "supervisor rest"), ["restart"]);
    assert_eq!(bash(&stack, "supervisor status al"), ["alpha", "alpine"]);
    assert_eq!(bash(&stack, "supervisor stop beta alp"), ["alpha", "alpine"]);
    assert_eq!(bash(&stack, "supervisor logs -f sup"), ["supervisor"]);
    assert_eq!(bash(&stack, "supervisor events -f al"), ["alpha", "alpine"]);
    assert_eq!(bash(&stack, "supervisor signal alpha US"), ["USR1", "USR2"]);
    assert_eq!(bash(&stack, "supervisor status --wat"), ["--watch"]);
    assert!(!bash(&stack, "supervisor ''").contains(&"keeper".to_owned()), "roles are nobody's business");
}

#[test]
fn names_are_those_of_the_file_as_it_is_now_even_a_broken_one() {
    let stack = stack();
    let broken = "[services.gamma]\ncomand = 'a key that there is not'\n[services.gauss]\n";
    std::fs::write(stack.path("other.toml"), broken).expect("ours");
    assert_eq!(bash(&stack, "supervisor --config other.toml why ga"), ["gamma", "gauss"]);
    std::fs::remove_file(stack.path("supervisor.toml")).expect("ours");
    assert!(bash(&stack, "supervisor status al").is_empty(), "nothing, and no error in the line");
}

#[test]
fn fish_and_zsh_are_answered_too() {
    let stack = stack();
    for (shell, register) in [("fish", "complete "), ("zsh", "compdef ")] {
        let script = stack.cli(&["completions", shell]).succeeded().stdout;
        assert!(script.contains(register) && script.contains("SUPERVISOR_COMPLETE"), "{script}");
        let asked = Command::new(supervisor())
            .args(["--", "supervisor", "status", "alpi"])
            .env("SUPERVISOR_COMPLETE", shell)
            .env("_CLAP_COMPLETE_INDEX", "2")
            .current_dir(stack.root())
            .output()
            .expect("it runs");
        assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "alpine", "{shell}");
    }
    stack.cli(&["completions", "tcsh"]).ended_with(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let stack = stack();
    assert!(stack.cli(&["man"]).succeeded().stdout.contains(".TH supervisor 1"));
    stack.cli(&["man", "--dir", "deep/man1"]).succeeded();
    let help = stack.cli(&["--help"]).succeeded().stdout;
    let (_, list) = help.split_once("Commands:\n").expect("help lists the commands");
    let commands = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    for command in commands.filter(|command| *command != "help") {
        let page = std::fs::read_to_string(stack.path(&format!("deep/man1/supervisor-{command}.1")));
        assert!(page.is_ok_and(|page| page.contains(".SH SYNOPSIS")), "{command}");
    }
    assert!(!stack.path("deep/man1/supervisor-keeper.1").exists());
}
