//! `[supervisor]`, `[http]`, `[logs]`, and the table of keys.
//! Not here: services.

use std::time::Duration;

use super::*;

#[test]
fn an_empty_file_is_a_stack_of_defaults() {
    let stack = stack("");
    assert_eq!(stack.file, Path::new(FILE));
    assert_eq!(stack.name, "stack");
    assert_eq!(stack.shutdown_timeout, Duration::from_secs(30));
    assert_eq!(stack.max_parallel_starts, 8);
    assert_eq!(stack.logs_dir, Path::new("/stack/logs"));
    let open = vec![OpenGroup::Health, OpenGroup::Status, OpenGroup::Metrics];
    assert_eq!(stack.http, Http { listen: Listen::Auto, open, allowed_hosts: vec![] });
    let dir = stack.runtime_dir.file_name().unwrap().to_str().unwrap();
    assert!(dir.starts_with("stack-") && dir.len() == "stack-".len() + 8, "{dir}");
    assert_eq!(stack.runtime_dir.parent(), Some(Path::new("/run/user/1000/supervisor")));
    assert_eq!(stack.state_dir, Path::new("/home/u/.local/state/supervisor").join(dir));
}

/// The table documents defaults; here they are set, and nothing may change.
#[test]
fn the_defaults_of_the_table_are_the_defaults() {
    let service = "[services.a]\ncommand = [\"x\"]\nport = 1\n";
    let expected = stack(service);
    for key in keys().iter().filter(|key| key.status == Status::Accepted && !key.default.is_empty()) {
        if key.path.contains(".http.") || key.path.starts_with("alerts.") {
            continue;
        }
        let value = key.default;
        let text = match key.path.strip_prefix("services.*.") {
            Some(path) => format!("{service}{path} = {value}\n"),
            None => format!("{} = {value}\n{service}", key.path),
        };
        let mut changed = stack(&text);
        changed.services[0].at.clone_from(&expected.services[0].at);
        if key.path == "services.*.port" {
            changed.services.clone_from(&expected.services);
        }
        assert_eq!(changed, expected, "{} = {value}", key.path);
    }
}

/// No key takes a date: whatever its type, the message says what it does take, at the value.
#[test]
fn every_accepted_key_says_what_it_expects() {
    for key in keys().iter().filter(|key| key.status == Status::Accepted) {
        let path = key.path.replace('*', "a");
        // What the key needs beside it to be read at all.
        let mut others = String::new();
        for needed in ["services.a.command = \"x\"", "services.a.port = 1"] {
            if !needed.starts_with(&path) {
                others += &format!("{needed}\n");
            }
        }
        if let Some((check, _)) = path.split_once(".http.").filter(|(_, key)| *key != "path") {
            others += &format!("{check}.http.path = \"/\"\n");
        }
        let mut text = format!("{path} = 1979-05-27\n{others}");
        if let Some(path) = path.strip_prefix("alerts.") {
            let others: &[&str] = match path.split('.').next() {
                Some("email") if path != "email" && path != "email.server" => &["email.server = 'h'"],
                Some("headers") => &["webhook = 'https://h/'"],
                Some(_) | None => &[],
            };
            text = format!("[[alerts]]\n{path} = 1979-05-27\n{}\n", others.join("\n"));
        }
        let found = problems(&text);
        assert!(
            found.iter().any(|problem| problem.contains("expected") && problem.contains("datetime")),
            "{text}{found:?}"
        );
    }
}

#[test]
fn every_key_that_is_not_built_yet_says_so() {
    for key in keys().iter().filter(|key| key.status == Status::NotYet) {
        let path = key.path.replace('*', "a");
        let name = path.rsplit('.').next().unwrap();
        let text =
            format!("{path} = {}\nservices.a.command = \"x\"\n", if key.shape == Shape::Table { "{}" } else { "1" });
        assert_eq!(problems(&text), [format!("`{name}` is not available in this version")], "{text}");
        if let Some(path) = path.strip_prefix("services.a.") {
            let text = format!("defaults.{path} = 1\nservices.a.command = \"x\"\n");
            assert_eq!(problems(&text), [format!("`{name}` is not available in this version")], "{text}");
        }
    }
}

#[test]
fn directories_may_be_said_and_are_relative_to_the_file() {
    let text = "[supervisor]\nname = \"mcp\"\nruntime_dir = \"run\"\nstate_dir = \"/var/${X}\"\nshutdown_timeout = \"1m\"\nmax_parallel_starts = \"${N}\"\n[logs]\ndir = \"./l/../m\"";
    let stack = load_with(text, &[], &[("X", "x"), ("N", "3")]).unwrap();
    assert_eq!(stack.name, "mcp");
    assert_eq!(stack.runtime_dir, Path::new("/stack/run"));
    assert_eq!(stack.state_dir, Path::new("/var/x"));
    assert_eq!(stack.shutdown_timeout, Duration::from_secs(60));
    assert_eq!(stack.max_parallel_starts, 3);
    assert_eq!(stack.logs_dir, Path::new("/stack/l/../m"));
}

#[test]
fn the_directories_of_two_files_differ() {
    let load_at = |path: &str| {
        let mut memory = Memory(BTreeMap::from([(PathBuf::from(path), String::new())]));
        load(Path::new(path), &surroundings(&[]), &mut memory).unwrap()
    };
    let (a, b) = (load_at("/a/mcp/supervisor.toml"), load_at("/b/mcp/supervisor.toml"));
    assert_eq!(a.name, b.name);
    assert_ne!(a.runtime_dir, b.runtime_dir);
    assert_eq!(load_at("/x/Mein Projekt (2)/supervisor.toml").name, "mein-projekt--2");
    assert_eq!(load_at("/supervisor.toml").name, "stack");
}

#[test]
fn a_runtime_directory_that_is_too_long_for_sockets_is_not_used() {
    let mut around = surroundings(&[]);
    around.runtime_bases[0] = PathBuf::from(format!("/run/{}", "x".repeat(80)));
    let mut memory = Memory(BTreeMap::from([(PathBuf::from(FILE), String::new())]));
    let stack = load(Path::new(FILE), &around, &mut memory).unwrap();
    assert_eq!(stack.runtime_dir.parent(), Some(Path::new("/tmp/supervisor-1000")));
    let dir = "d".repeat(100);
    assert_eq!(
        problems(&format!("[supervisor]\nruntime_dir = \"/{dir}\"")),
        [format!("`/{dir}` is too long for sockets: it may have 83 bytes (use a shorter directory, or `auto`)")]
    );
    let long = format!("[services.{}]\ncommand = \"x\"\nready.notify = true", "n".repeat(63));
    assert_eq!(super::stack(&long).services.len(), 1);
}

#[test]
fn without_a_home_state_needs_a_place() {
    let mut around = surroundings(&[]);
    around.state_base = None;
    let mut memory = Memory(BTreeMap::from([(PathBuf::from(FILE), String::new())]));
    let error = load(Path::new(FILE), &around, &mut memory).unwrap_err();
    assert!(error.list[0].message.starts_with("no place for state"), "{error}");
    memory.0.insert(PathBuf::from(FILE), "supervisor.state_dir = \"s\"".to_owned());
    assert_eq!(load(Path::new(FILE), &around, &mut memory).unwrap().state_dir, Path::new("/stack/s"));
}

#[test]
fn listen_takes_addresses_ports_and_words() {
    for (value, address) in [
        ("\"127.0.0.1:9800\"", "127.0.0.1:9800"),
        ("\"[::1]:9800\"", "[::1]:9800"),
        ("9800", "127.0.0.1:9800"),
        ("\"9800\"", "127.0.0.1:9800"),
        ("\"${P:-9800}\"", "127.0.0.1:9800"),
        ("\"localhost:0\"", "127.0.0.1:0"),
    ] {
        let listen = stack(&format!("[http]\nlisten = {value}")).http.listen;
        assert_eq!(listen, Listen::At(address.parse().unwrap()), "{value}");
    }
    assert_eq!(stack("http.listen = \"off\"").http.listen, Listen::Off);
    assert_eq!(stack("http.listen = \"auto\"").http.listen, Listen::Auto);
    for value in ["\"\"", "\"127.0.0.1\"", "70000", "-1", "\"host:1\"", "\"http://127.0.0.1:1\""] {
        let found = problems(&format!("[http]\nlisten = {value}"));
        assert!(found[0].contains("is not an address like `127.0.0.1:9700`, a port, `auto` or `off`"), "{found:?}");
    }
}

#[test]
fn listening_beyond_loopback_must_be_meant() {
    for address in ["0.0.0.0:9700", "192.168.0.1:9700", "[::]:9700"] {
        let text = format!("[http]\nlisten = \"{address}\"\n");
        assert_eq!(
            problems(&text),
            [
                "this address can be reached from other machines (set `expose = true` in `[http]` if that is meant; changes still need the token, `open` groups do not)"
            ]
        );
        assert_eq!(stack(&format!("{text}expose = true")).http.listen, Listen::At(address.parse().unwrap()));
    }
}

#[test]
fn open_groups_and_hosts_are_checked() {
    let http =
        stack("[http]\nopen = [\"metrics\", \"metrics\"]\nallowed_hosts = [\"MCP.example.org\", \"[::2]\"]").http;
    assert_eq!(http.open, [OpenGroup::Metrics]);
    assert_eq!(http.allowed_hosts, ["mcp.example.org", "[::2]"]);
    assert_eq!(stack("http.open = []").http.open, []);
    assert_eq!(problems("http.open = [\"all\"]"), ["`all` is not `health`, `status` or `metrics`"]);
    for host in ["a:80", "", "a b", "http://a", "*"] {
        let found = problems(&format!("http.allowed_hosts = [\"{host}\"]"));
        assert_eq!(found, [format!("`{host}` is no name of a host (a name like `mcp.example.org`, without a port)")]);
    }
}

#[test]
fn changed_files_are_reloaded_unless_that_is_switched_off() {
    assert!(stack("").auto_reload);
    assert!(!stack("supervisor.auto_reload = false").auto_reload);
}

#[test]
fn the_file_is_found_by_walking_up() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().canonicalize().unwrap();
    let deep = dir.join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir(dir.join("a/supervisor.toml")).unwrap();
    std::fs::write(dir.join("supervisor.toml"), "").unwrap();
    assert_eq!(find(&deep), Some(dir.join("supervisor.toml")));
    std::fs::write(deep.join("supervisor.toml"), "").unwrap();
    assert_eq!(find(&deep), Some(deep.join("supervisor.toml")));
}

#[test]
fn a_file_has_one_path_however_it_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().canonicalize().unwrap();
    std::fs::create_dir_all(dir.join("real/sub")).unwrap();
    std::fs::write(dir.join("shared.toml"), "").unwrap();
    std::os::unix::fs::symlink("../shared.toml", dir.join("real/supervisor.toml")).unwrap();
    std::os::unix::fs::symlink("real", dir.join("link")).unwrap();
    let file = dir.join("real/supervisor.toml");
    for name in
        ["real/supervisor.toml", "link/supervisor.toml", "real/sub/../supervisor.toml", "./link/./supervisor.toml"]
    {
        assert_eq!(located(&dir.join(name)), file, "{name}");
    }
    assert_eq!(find(&dir.join("link/sub")), Some(file));
    assert_eq!(located(Path::new("/nonexistent/../supervisor.toml")), Path::new("/nonexistent/../supervisor.toml"));
}
