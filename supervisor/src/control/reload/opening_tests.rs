//! Which sockets a plan binds, which it takes over, and which are in its way.
//! Not here: what becomes of them over a rollout; the tests of the whole show that.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use super::*;
use crate::config::{Disk, Surroundings, load};
use crate::control::reload::load::changes_of;
use crate::control::reload::plan::Newcomers;

fn stack(services: &[(&str, String)]) -> Stack {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("supervisor.toml");
    let text: String =
        services.iter().map(|(name, keys)| format!("[services.{name}]\ncommand = 'x'\n{keys}\n")).collect();
    std::fs::write(&file, text).unwrap();
    let env = BTreeMap::from([("HOME".to_owned(), "/".to_owned())]);
    load(&file, &Surroundings::new(env, 4711, 2), &mut Disk).unwrap()
}

fn on(port: u16) -> String {
    format!("port = {port}\nrollout = {{ handoff = 'socket' }}")
}

fn taken() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port that was free a moment ago.
fn free() -> u16 {
    taken().1
}

fn ground(held: &[(&str, &TcpListener)]) -> Ground {
    let mut ground = Ground { held: BTreeMap::new(), http: None };
    for (name, listener) in held {
        let listener = Listener::held("http", listener.try_clone().unwrap().into()).unwrap();
        ground.held.entry(ServiceName::new(name).unwrap()).or_default().push(Arc::new(listener));
    }
    ground
}

/// What is bound when all of `old` is wanted: of which service, on which port.
fn bound(ground: &Ground, old: &Stack, new: &Stack) -> Result<Vec<(String, u16)>, String> {
    let wanted: BTreeSet<ServiceName> = old.services.iter().map(|service| service.spec.name.clone()).collect();
    let plan = Plan::new(old, new, changes_of(old, new), &wanted, Newcomers::Autostarted);
    let bound = ground
        .bind(old, new, &plan)
        .map_err(|all| all.list.iter().map(|one| one.message.clone()).collect::<Vec<_>>().join("; "))?;
    let opened = open(bound, &plan, new).map_err(|all| all.list[0].message.clone())?;
    Ok(opened.into_iter().map(|(name, listener)| (name.to_string(), listener.address.port())).collect())
}

#[test]
fn what_moves_is_bound_and_what_stays_or_was_meant_before_is_not() {
    let ((held, one), other) = (taken(), free());
    let ground = ground(&[("t", &held)]);
    let (before, after) = (stack(&[("t", on(one))]), stack(&[("t", on(other)), ("u", on(one + 1))]));
    assert_eq!(bound(&ground, &before, &before), Ok(Vec::new()));
    let only = stack(&[("t", on(other))]);
    assert_eq!(bound(&ground, &before, &only), Ok(vec![("t".to_owned(), other)]));
    assert_eq!(bound(&ground, &after, &before), Ok(Vec::new()), "it is held yet: a way back");
    let changed = stack(&[("t", on(one) + "\nenv = { A = '1' }")]);
    assert_eq!(bound(&ground, &before, &changed), Ok(Vec::new()), "its start finds it");
}

#[test]
fn what_strangers_or_other_services_are_on_is_told_with_who_it_is() {
    let ((held, one), (_stranger, other)) = (taken(), taken());
    let ground = ground(&[("t", &held)]);
    let before = stack(&[("t", on(one))]);
    let why = bound(&ground, &before, &stack(&[("t", on(other)), ("u", on(one))])).unwrap_err();
    assert!(why.contains(&format!("`t` cannot have port {other}: port {other} is held by pid")), "{why}");
    assert!(why.contains(&format!("`u` cannot have port {one}: a generation of `t` is on it")), "{why}");
    let wide = stack(&[("t", on(one) + "\nbind = '0.0.0.0'")]);
    let why = bound(&ground, &before, &wide).unwrap_err();
    assert!(why.contains(&format!("a generation of `t` is on 127.0.0.1:{one}")), "{why}");
}

#[test]
fn a_socket_goes_over_to_another_name_and_what_services_bind_themselves_is_left_to_their_starts() {
    let (held, one) = taken();
    let with_one = ground(&[("t", &held)]);
    let (before, renamed) = (stack(&[("t", on(one))]), stack(&[("u", on(one))]));
    assert_eq!(bound(&with_one, &before, &renamed), Ok(vec![("u".to_owned(), one)]));
    let own = stack(&[("t", format!("port = {one}"))]);
    assert_eq!(bound(&ground(&[]), &own, &before), Ok(Vec::new()));
    let api = Ground { http: held.local_addr().ok(), ..ground(&[]) };
    assert_eq!(bound(&api, &stack(&[]), &before), Ok(Vec::new()), "it moves with this configuration");
}
