//! What a preparation that fails leaves behind.
//! Not here: real starts (e2e).

use super::*;
use crate::config::{Disk, Surroundings, load};

#[test]
fn a_preparation_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("supervisor.toml");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "[services.a]\ncommand = 'true'\nport = {port}\nready = {{ http = '/', notify = true }}\n\
         rollout = {{ handoff = 'socket', drain_signal = 'USR2' }}\n"
    );
    std::fs::write(&file, text).unwrap();
    let env = BTreeMap::from([("HOME".to_owned(), "/".to_owned())]);
    let service = load(&file, &Surroundings::new(env, 4711, 2), &mut Disk).unwrap().services.remove(0);
    let order = Order {
        run: 7,
        generation: 1,
        instance: 0,
        stop_rank: 0,
        launch: Arc::clone(&service.launch),
        spec: Arc::new(service.spec),
        held: Vec::new(),
        program: None,
    };
    let (runtime_dir, cookie) = (dir.path().join("run"), "stack.keeper".to_owned());
    let places = Places {
        runtime_dir: runtime_dir.clone(),
        cookie,
        groups: None,
        controllers: Controllers::default(),
        oom_kills: Arc::default(),
    };
    let there = |kind: &str| runtime_dir.join(kind).join("7").exists();
    let prepared = prepare(&order, &places).unwrap();
    assert!(there("probe") && there("notify"));
    prepared.record.remove_sockets();
    assert!(!there("probe") && !there("notify"));
    drop(prepared);
    // The last of its sockets cannot be made.
    std::fs::remove_dir(runtime_dir.join("notify")).unwrap();
    std::fs::write(runtime_dir.join("notify"), "").unwrap();
    let failed = prepare(&order, &places).unwrap_err();
    assert!(format!("{failed:?}").contains("notify socket"), "{failed:?}");
    assert!(!there("probe"));
}
