//! The keys of a service that say what to run and with what.
//! Not here: restart, stop, ready and live (see `policy`).

use std::time::Duration;

use supervisor_core::{Condition, Kind};

use super::*;

fn texts(templates: &[Template]) -> Vec<String> {
    templates.iter().map(|template| template.render(7)).collect()
}

#[test]
fn a_command_alone_is_a_service() {
    let service = service("");
    assert_eq!(service.spec.kind, Kind::Service);
    assert!(service.spec.autostart && service.spec.critical);
    assert!(service.spec.live.is_none() && service.spec.depends_on.is_empty());
    let launch = &service.launch;
    assert_eq!(texts(&launch.command), ["/bin/a"]);
    assert_eq!((launch.cwd.as_path(), launch.base.as_path()), (Path::new("/stack"), Path::new("/stack")));
    assert_eq!(
        (launch.umask, launch.handoff, launch.port, launch.limits),
        (0o022, Handoff::Own, None, Limits::default())
    );
    assert_eq!(launch.bind.to_string(), "127.0.0.1");
    let base = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"].map(str::to_owned).to_vec();
    assert_eq!(launch.inherit_env, InheritEnv::Names(base));
    let log = Log {
        dir: PathBuf::from("/stack/logs"),
        max_size: 10 << 20,
        keep: 5,
        gzip: true,
        split: false,
        max_age: Duration::ZERO,
        block: false,
    };
    assert_eq!(launch.log, log);
    assert!(!launch.notify && launch.probes.is_empty() && launch.watchdog.is_none());
}

#[test]
fn a_command_for_a_shell_is_refused_unless_it_is_given_to_one() {
    let told = problems("[services.a]\ncommand = 'cat x | grep y'\n[services.b]\ncommand = 'X=s3cret b'");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("`|` means nothing without a shell (`shell = true` "), "{told:?}");
    assert!(told[1].contains("`X=…`") && !told[1].contains("s3cret"), "{told:?}");
    stack("[services.a]\ncommand = 'cat x | grep y'\nshell = true\n[services.b]\ncommand = ['cat', '|']");
}

#[test]
fn services_keep_the_order_of_the_file() {
    let stack = stack("[services.z]\ncommand = \"z\"\n[services.a]\ncommand = \"a\"\n[services.m]\ncommand = \"m\"");
    let names: Vec<&str> = stack.services.iter().map(|service| service.spec.name.as_str()).collect();
    assert_eq!(names, ["z", "a", "m"]);
}

/// S20.
#[test]
fn a_name_that_could_be_a_path_or_an_option_is_refused() {
    let long = "n".repeat(64);
    let odd = [
        "../x",
        "a/b",
        "%2e%2e",
        "a\\u0000",
        "a\\nb",
        "a\\u001b[31m",
        "-rf",
        ".x",
        "_x",
        "A",
        "",
        "a b",
        "раypal",
        "a.b",
        &long,
    ];
    for name in odd {
        let found = problems(&format!("[services.\"{name}\"]\ncommand = \"x\""));
        assert!(found.len() == 1 && found[0].contains("is no name of a service"), "{name}: {found:?}");
    }
    assert_eq!(
        problems("[services.supervisor]\ncommand = \"x\""),
        ["`supervisor` is the name of the supervisor's own log"]
    );
}

#[test]
fn a_string_is_split_without_a_shell() {
    let of = |command: &str| {
        let text = format!("[services.a]\nport = 80\nenv_file = \"e\"\ncommand = {command}");
        let stack = load_with(&text, &[("/stack/e", "ARGS='a b; touch x'")], &[]).unwrap();
        texts(&stack.services[0].launch.command)
    };
    assert_eq!(of("\"run --port ${port} '${ARGS}' ${ARGS}\""), ["run", "--port", "80", "a b; touch x", "a b; touch x"]);
    assert_eq!(of("[\"run\", \"${ARGS}\", \"$$HOME $(id) `id`\"]"), ["run", "a b; touch x", "$HOME $(id) `id`"]);
    assert_eq!(of("\"run ${generation}-${instance}\""), ["run", "7-0"]);
}

/// S24: a value that is put into a script could be a command, so the shell expands, not we.
#[test]
fn a_shell_script_reaches_the_shell_as_it_stands() {
    let text = "shell = true\nport = 80\n[defaults]\nenv = { X = \"; touch x\" }";
    let script = "exec a --x \\\"${X:-d}\\\" $$ ${port} ${generation}";
    let stack = stack(&format!("[services.a]\ncommand = \"{script}\"\n{text}"));
    assert_eq!(texts(&stack.services[0].launch.command), ["/bin/sh", "-c", "exec a --x \"${X:-d}\" $$ 80 7"]);
    assert_eq!(
        problems("[services.a]\nshell = true\ncommand = [\"a\"]"),
        ["with `shell = true`, the command is one string"]
    );
}

#[test]
fn a_command_must_be_there_and_whole() {
    let missing = "service `a` has no `command` (add one, like `command = [\"./server\"]`)";
    assert_eq!(problems("[services.a]"), [missing]);
    assert_eq!(problems("[services.a]\ncommand = []"), ["the command is empty"]);
    assert_eq!(problems("[services.a]\ncommand = \" \""), ["the command is empty"]);
    assert_eq!(problems("[services.a]\ncommand = [\"\"]"), ["the program's name is empty"]);
    assert_eq!(problems("[services.a]\ncommand = [\"${X:-}\", \"b\"]"), ["the program's name is empty"]);
    assert_eq!(problems("[services.a]\ncommand = [1]"), ["expected a string, found integer"]);
    assert_eq!(
        problems("[services.a]\ncommand = \"a 'b\""),
        ["this cannot be split into words: a quote is never closed"]
    );
    assert_eq!(problems("[services.a]\ncommand = [\"a\\u0000\"]"), ["a NUL in a string"]);
    assert_eq!(problems("[services.a]\nshell = true\ncommand = \"\""), ["the command is empty, or holds a NUL"]);
}

#[test]
fn defaults_hold_where_a_service_says_nothing() {
    let text = "
        [defaults]
        env = { A = \"d\", B = \"d\" }
        env_file = [\"none?\"]
        restart = { delay = \"1s\", jitter = 0 }
        ports = { x = 1 }
        secrets = { S = { file = \"s\" } }
        critical = false
        ready.http = { path = \"/d\", status = [204] }
        log.keep = 9
        [services.a]
        command = \"a\"
        port = 80
        env = { B = \"a\" }
        restart.delay = \"2s\"
        secrets.S.env = \"E\"
        ready.http = \"/a\"
        [services.b]
        command = \"b\"
        port = 81
        ports = { x = 2 }
        ready.http.path = \"/b\"
        log.dir = \"b\"
        [logs]
        keep = 1
        max_size = 2048";
    let stack = stack(text);
    let (a, b) = (&stack.services[0], &stack.services[1]);
    assert_eq!(a.launch.env.values().map(|value| value.render(0)).collect::<Vec<_>>(), ["d", "a"]);
    assert_eq!((a.spec.restart.delay, a.spec.restart.jitter), (2000, 0.0));
    assert_eq!((b.spec.restart.delay, b.spec.restart.jitter), (1000, 0.0));
    assert_eq!((a.launch.ports["x"], b.launch.ports["x"]), (1, 2));
    assert_eq!(a.launch.secrets["S"], SecretSource::Env("E".to_owned()));
    assert_eq!(b.launch.secrets["S"], SecretSource::File { path: PathBuf::from("/stack/s"), mark: Mark::default() });
    assert!(!a.spec.critical);
    let status = |service: &Service| match &service.launch.probes.values().next().unwrap().how {
        ProbeHow::Http { status, path, .. } => (path.clone(), status.clone()),
        ProbeHow::Tcp | ProbeHow::Command(_) => panic!("not http"),
    };
    assert_eq!(status(a), ("/a".to_owned(), vec![200]));
    assert_eq!(status(b), ("/b".to_owned(), vec![204]));
    assert_eq!((a.launch.log.keep, a.launch.log.max_size), (9, 2048));
    assert_eq!((b.launch.log.dir.as_path(), b.launch.log.keep), (Path::new("/stack/b"), 9));
}

#[test]
fn env_files_come_before_env_and_the_environment() {
    let text = "[services.a]\ncommand = \"a\"\nenv_file = [\"one\", \"/two\", \"none?\"]\nport = \"${P}\"\nenv = { B = \"env\", C = \"${A}\", N = 5, T = true }";
    let files = [("/stack/one", "A=1\nB=1\nP=80"), ("/two", "A=2")];
    let stack = load_with(text, &files, &[("A", "outer"), ("P", "1")]).unwrap();
    let launch = &stack.services[0].launch;
    let env: Vec<(&str, String)> = launch.env.iter().map(|(key, value)| (key.as_str(), value.render(0))).collect();
    let expected = [("A", "2"), ("B", "env"), ("C", "2"), ("N", "5"), ("P", "80"), ("T", "true")];
    assert_eq!(env, expected.map(|(key, value)| (key, value.to_owned())));
    assert_eq!(launch.port, Some(80));
}

/// S25.
#[test]
fn what_decides_which_code_is_loaded_is_not_taken_from_a_file_that_is_trusted_less_than_the_one_that_names_it() {
    let hostile = "LD_PRELOAD=evil\nPATH=evil\nDYLD_INSERT_LIBRARIES=evil\nLD_SDK_KEY=k\nP=${PATH}";
    let files = [("/stack/ours", "LD_PRELOAD=ours"), ("/shared/theirs", hostile), ("/stack/last", "NODE_PATH=n")];
    let keys = "command = \"a\"\nenv_file = [\"/stack/ours\", \"/shared/theirs\", \"/stack/last?\"]";
    let text = format!("[services.a]\n{keys}\nenv.L = \"${{LD_PRELOAD}}\"");
    let loaded = load_with(&text, &files, &[("PATH", "/bin")]).unwrap();
    let env: Vec<(&str, String)> =
        loaded.services[0].launch.env.iter().map(|(key, value)| (key.as_str(), value.render(0))).collect();
    let expected = [("L", "ours"), ("LD_PRELOAD", "ours"), ("LD_SDK_KEY", "k"), ("NODE_PATH", "n"), ("P", "evil")];
    assert_eq!(env, expected.map(|(key, value)| (key, value.to_owned())));
    let told: Vec<String> = loaded.withheld.iter().map(ToString::to_string).collect();
    let expected = ["DYLD_INSERT_LIBRARIES", "LD_PRELOAD", "PATH"];
    assert_eq!(told, expected.map(|name| format!("/shared/theirs: `{name}` is left out: others can write it")));
    // Who can write the file that names it could change the command.
    let include = "include = [\"/shared/a.toml\"]";
    let both = load_with(
        include,
        &[files[1], ("/shared/a.toml", "[services.a]\ncommand = \"a\"\nenv_file = \"theirs\"")],
        &[],
    );
    let both = both.unwrap();
    assert_eq!(both.services[0].launch.env["LD_PRELOAD"].render(0), "evil");
    assert!(both.withheld.is_empty());
}

#[test]
fn an_env_file_must_exist_unless_it_says_so() {
    assert_eq!(
        service_problems("env_file = \".env\""),
        ["there is no env file `/stack/.env` (end the name in `?` if it may be missing)"]
    );
    service("env_file = [\".env?\"]");
}

#[test]
fn a_bad_env_file_is_told_once_with_its_line_and_without_its_text() {
    let text = "defaults.env_file = \"e\"\nservices.a.command = \"a\"\nservices.b.command = \"b\"";
    let error = load_with(text, &[("/stack/e", "A=1\n  TOKEN hunter2\n")], &[]).unwrap_err();
    assert_eq!(error.to_string(), "error: a line without `=`\n  --> /stack/e:2:3\n");
    let found = problems_with(text, &[("/stack/e", "LISTEN_FDS=1\nA=${NONE}")], &[]);
    assert_eq!(found, ["`${NONE}` is not set"]);
    let found = problems_with(text, &[("/stack/e", "LISTEN_FDS=1\nLISTEN_ADDRESS=1\nWATCHDOG_USEC=1")], &[]);
    assert_eq!(found, ["`LISTEN_FDS` is set by the supervisor", "`WATCHDOG_USEC` is set by the supervisor"]);
}

/// S25.
#[test]
fn names_and_values_of_variables_are_checked() {
    for name in ["A=B", "A\\u0000", "A\\nB", "1A", "", "A-B", "é"] {
        let found = service_problems(&format!("env = {{ \"{name}\" = \"x\" }}"));
        assert!(found.len() == 1 && found[0].contains("is no name of a variable"), "{name}: {found:?}");
    }
    for name in ["SUPERVISOR_SERVICE", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "NOTIFY_SOCKET", "WATCHDOG_PID"] {
        let expected = [format!("`{name}` is set by the supervisor")];
        assert_eq!(service_problems(&format!("env.{name} = \"x\"")), expected);
        assert_eq!(service_problems(&format!("secrets.{name}.file = \"x\"")), expected);
    }
    assert_eq!(service_problems("env.A = \"\\u0000\""), ["a NUL in a string"]);
    assert_eq!(service_problems("env.A = [1]"), ["expected a string, found array"]);
}

#[test]
fn secrets_say_where_they_are_and_not_what() {
    let keys = "secrets = { F = { file = \"s/f\" }, C = { command = \"get 'a b'\" }, E = { env = \"X\" } }";
    let secrets = service(keys).launch.secrets.clone();
    assert_eq!(secrets["F"], SecretSource::File { path: PathBuf::from("/stack/s/f"), mark: Mark::default() });
    assert_eq!(secrets["C"], SecretSource::Command(vec!["get".to_owned(), "a b".to_owned()]));
    assert_eq!(secrets["E"], SecretSource::Env("X".to_owned()));
    let which = "`{ file = … }`, `{ command = … }` or `{ env = … }`";
    assert_eq!(service_problems("secrets.S = {}"), [format!("expected exactly one of {which}")]);
    assert_eq!(
        service_problems("secrets.S = { file = \"f\", env = \"e\" }"),
        [format!("expected exactly one of {which}")]
    );
    assert_eq!(service_problems("secrets.S = \"hunter2\""), [format!("expected {which}, found string")]);
    assert_eq!(service_problems("env.S = \"x\"\nsecrets.S.env = \"S\""), ["`S` is in `env` and in `secrets`"]);
}

/// What was put in may be secret: a message must not show it.
#[test]
fn an_expanded_value_is_not_shown() {
    let text = "[services.a]\ncommand = \"a\"\nport = \"${TOKEN}\"\nbind = \"${TOKEN}\"\nstop = { signal = \"${TOKEN}\", timeout = \"${TOKEN}\" }";
    let found = problems_with(text, &[], &[("TOKEN", "hunter2")]);
    assert_eq!(found.len(), 4, "{found:?}");
    for problem in found {
        assert!(problem.contains("the expanded value") && !problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn what_is_inherited_can_be_chosen() {
    assert_eq!(service("inherit_env = \"*\"").launch.inherit_env, InheritEnv::All);
    assert_eq!(service("inherit_env = []").launch.inherit_env, InheritEnv::Names(vec![]));
    assert_eq!(
        service_problems("inherit_env = [\"A*\"]"),
        ["`A*` is no name of a variable (`*` alone passes everything on)"]
    );
}

#[test]
fn user_umask_and_limits_are_read() {
    let service = service(
        "user = \"www-data\"\ngroup = 33\numask = \"0077\"\nlimits.nofile = \"${N:-1024}\"\ncwd = \"${D:-sub}/x\"",
    );
    let launch = &service.launch;
    assert_eq!((launch.user.as_deref(), launch.group.as_deref()), (Some("www-data"), Some("33")));
    assert_eq!((launch.umask, launch.limits.nofile), (0o077, Some(1024)));
    assert_eq!(launch.cwd, Path::new("/stack/sub/x"));
    assert_eq!(service_problems("umask = 22"), ["expected a string like `\"022\"`, found integer"]);
    assert_eq!(service_problems("umask = \"1777\""), ["`1777` is not an octal mask like `022`"]);
    assert_eq!(service_problems("umask = \"089\""), ["`089` is not an octal mask like `022`"]);
    assert_eq!(service_problems("user = \"a:b\""), ["`a:b` is not a name or a number"]);
    assert_eq!(service_problems("cwd = \"~/x\""), ["`~` is not expanded (write `${HOME}/…`)"]);
    assert_eq!(
        service_problems("limits.memory = 512"),
        ["`memory` is less than `1MiB` (write the unit, like `512MiB`; `0` is no limit)"]
    );
    assert_eq!(
        service_problems("limits = { memory = '64MiB', memory_soft = '64MiB' }"),
        ["`memory_soft` is not less than `memory` \
          (at `memory_soft` it is replaced, so that it never comes to `memory`, where it is killed)"]
    );
    assert_eq!(service_problems("limits.cpu = -1"), ["`-1` is not a number from 0 to 1000"]);
    assert_eq!(service_problems("limits.nofile = 0"), ["`0` is not an integer from 1 to 1073741824"]);
}

#[test]
fn ports_are_numbers_within_range_and_not_shared() {
    let service = service("port = \"${P:-8001}\"\nbind = \"::1\"\nports = { private = \"1${port}\" }");
    assert_eq!((service.launch.port, service.launch.ports["private"]), (Some(8001), 18001));
    for (value, why) in [
        ("0", "`0` is not an integer from 1 to 65535"),
        ("65536", "`65536` is not an integer from 1 to 65535"),
        ("\"http\"", "`http` is not an integer from 1 to 65535"),
        ("\"+80\"", "`+80` is not an integer from 1 to 65535"),
        ("80.0", "expected an integer from 1 to 65535, found float"),
        ("\"${port}\"", "`${port}` is not known here"),
    ] {
        assert_eq!(service_problems(&format!("port = {value}")), [why]);
    }
    assert_eq!(service_problems("env.A = \"${port}\""), ["`${port}` is used, but the service has no `port`"]);
    assert_eq!(service_problems("ports.http = 1"), ["`http` is the name of the main port"]);
    assert_eq!(
        service_problems("ports.a-b = 1"),
        ["`a-b` is no name of a port (a-z, 0-9 and `_`, beginning with a letter, as it becomes `PORT_NAME`)"]
    );
    let two = |a: &str, b: &str| format!("[services.a]\ncommand = \"a\"\n{a}\n[services.b]\ncommand = \"b\"\n{b}");
    let clash = ["port 80 of `b` is also that of `a` (it is in /stack/supervisor.toml:3)"];
    assert_eq!(problems(&two("port = 80", "port = 80")), clash);
    assert_eq!(problems(&two("ports.x = 80", "port = 80\nbind = \"0.0.0.0\"")), clash);
    assert_eq!(problems(&two("port = 80\nbind = \"::\"", "port = 80")), clash);
    stack(&two("port = 80", "port = 80\nbind = \"127.0.0.2\""));
    stack(&two("port = 80", "port = 80\nbind = \"::1\""));
    assert_eq!(
        problems("http.listen = 80\nservices.a = { command = \"a\", port = 80 }"),
        ["port 80 of `a` is also that of `http.listen`"]
    );
}

#[test]
fn dependencies_are_a_list_or_a_table() {
    let others = "\n[services.b]\ncommand = \"b\"\n[services.c]\ncommand = \"c\"\ntype = \"oneshot\"";
    let of = |value: &str| service(&format!("depends_on = {value}{others}")).spec.depends_on;
    let seen = |value: &str| of(value).iter().map(|d| (d.on.to_string(), d.condition)).collect::<Vec<_>>();
    let (b, c) = ("b".to_owned(), "c".to_owned());
    assert_eq!(seen("[\"c\", \"b\", \"b\"]"), [(b.clone(), Condition::Ready), (c.clone(), Condition::Ready)]);
    assert_eq!(seen("{ b = \"started\", c = \"completed\" }"), [(b, Condition::Started), (c, Condition::Completed)]);
    for (value, problem) in [
        ("[\"d\"]", "service `a` depends on `d`, which does not exist"),
        ("{ b = \"up\" }", "`up` is not `ready`, `started` or `completed`"),
        (
            "{ b = \"completed\" }",
            "`b` is always restarted, so it never completes (give `b` `type = \"oneshot\"`, or wait until it is `ready`)",
        ),
        (
            "[\"../b\"]",
            "`../b` is no name of a service (a name is 1 to 63 of a-z, 0-9, `_` and `-`, and begins with a letter or digit)",
        ),
        ("5", "expected an array of names, or a table, found integer"),
    ] {
        assert_eq!(service_problems(&format!("depends_on = {value}{others}")), [problem]);
    }
}
