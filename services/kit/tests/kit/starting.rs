//! From the launch to readiness: configuration, sockets, messages to the supervisor.
//! Not here: answers and drains.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use nix::sys::signal::Signal;

use crate::client::{Client, get};
use crate::{kit_server, started};

fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn by_hand_the_env_file_says_where_to_listen() {
    let child = started(kit_server().without("TEST_PORT").file(".env", "TEST_PORT=0 # any, where the default is 1\n"));
    assert_ne!(child.ready().port(), 1);
}

#[test]
fn the_environment_wins_over_the_env_file() {
    let launch =
        kit_server().env("TEST_LOG", "info").file(".env", "TEST_LOG=loud\nTEST_BASE_URL=https://t.example.com/\n");
    let child = started(launch);
    assert_eq!(get(child.ready(), "/base").body, "https://t.example.com");
}

#[test]
fn under_a_supervisor_the_env_file_is_not_read() {
    let child = started(kit_server().env("SUPERVISOR_SERVICE", "test").file(".env", "this is no env file\n"));
    assert_eq!(get(child.ready(), "/health").status, 200);
}

#[test]
fn a_broken_env_file_is_told_with_its_line_and_exit_code_2() {
    let (code, errors) = kit_server().file(".env", "A=1\nnonsense\n").start().code_and_errors();
    assert_eq!(code, 2);
    assert!(errors.contains("test: `.env` line 2: there is no `=`"), "{errors}");
}

#[test]
fn port_wins_over_the_services_own_variable() {
    let taken = loopback();
    let launch = kit_server().env("TEST_PORT", taken.local_addr().unwrap().port()).env("PORT", "0");
    let child = started(launch);
    assert_ne!(child.ready(), taken.local_addr().unwrap());
}

#[test]
fn a_taken_port_is_told_with_what_to_do_and_exit_code_1() {
    let taken = loopback();
    let port = taken.local_addr().unwrap().port();
    let (code, errors) = kit_server().env("TEST_PORT", port).start().code_and_errors();
    assert_eq!(code, 1);
    assert!(errors.contains(&format!("test: cannot listen on 127.0.0.1:{port}: the port is taken")), "{errors}");
    assert!(errors.contains(&format!("ss -ltnp 'sport = :{port}'")) && errors.contains("set TEST_PORT"), "{errors}");
}

#[test]
fn a_bad_value_is_told_with_its_place_and_exit_code_2() {
    for (name, value, complaint) in [
        ("TEST_PORT", "80a", "TEST_PORT (from the environment): `80a` is not a port number"),
        ("TEST_LOG", "loud", "TEST_LOG (from the environment): `loud` is not a level"),
        ("TEST_BASE_URL", "http://t.example.com", "must begin with https://"),
        ("SUPERVISOR_DRAIN_TIMEOUT_MS", "soon", "is not a number of milliseconds"),
        ("TEST_HOST", "not an address", "is no address of this machine"),
    ] {
        let (code, errors) = kit_server().env(name, value).start().code_and_errors();
        assert_eq!(code, 2, "{errors}");
        assert!(errors.contains(complaint), "{errors}");
    }
}

#[test]
fn an_inherited_listener_is_taken_and_a_private_one_answers_beside_it() {
    let (main, dir) = (loopback(), tempfile::tempdir().unwrap());
    let (address, path) = (main.local_addr().unwrap(), dir.path().join("probe"));
    let probe = UnixListener::bind(&path).unwrap();
    let launch = kit_server().inherit("supervisor-probe:http", vec![OwnedFd::from(probe), OwnedFd::from(main)]);
    let child = started(launch.env("SUPERVISOR_GENERATION", 7));
    assert_eq!(child.ready(), address);
    assert_eq!(get(address, "/base").body, format!("http://{address}"));
    let health = Client::over(UnixStream::connect(&path).unwrap()).get("/health").unwrap();
    assert_eq!((health.status, health.json()["generation"].as_u64()), (200, Some(7)));
}

#[test]
fn a_listener_without_a_name_is_taken_as_the_public_one() {
    let main = loopback();
    let address = main.local_addr().unwrap();
    let child = started(kit_server().inherit("", vec![OwnedFd::from(main)]));
    assert_eq!(child.ready(), address);
}

#[test]
fn descriptors_meant_for_another_process_are_left_alone() {
    let child = started(kit_server().env("LISTEN_FDS", 1).env("LISTEN_PID", 1));
    assert_eq!(get(child.ready(), "/health").status, 200);
}

#[test]
fn more_inherited_descriptors_than_can_be_meant_are_refused() {
    let launch = kit_server().inherit("http", vec![OwnedFd::from(loopback())]).env("LISTEN_FDS", 33);
    let (code, errors) = launch.start().code_and_errors();
    assert_eq!(code, 2);
    assert!(errors.contains("LISTEN_FDS (from the environment): `33` is more than the 32"), "{errors}");
}

#[test]
fn an_inherited_descriptor_that_does_not_listen_is_refused() {
    let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let connected = OwnedFd::from(UnixStream::pair().unwrap().0);
    for (fd, why) in [(file, "is not a socket"), (connected, "does not listen")] {
        let (code, errors) = kit_server().inherit("http", vec![fd]).start().code_and_errors();
        assert_eq!(code, 1);
        assert!(errors.contains("cannot use inherited descriptor 3 (`http`)") && errors.contains(why), "{errors}");
    }
}

#[test]
fn the_supervisor_is_told_of_readiness_and_of_the_end() {
    let mut child = kit_server().notify().start();
    let message = child.notified("READY=1");
    assert!(message.contains(&format!("STATUS=listening on {}", child.ready())), "{message}");
    child.signal(Signal::SIGTERM);
    assert!(child.notified("STOPPING=1").contains("STATUS=draining 0 connections"));
    assert_eq!(child.code(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn the_notify_socket_may_be_a_name_without_a_file() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("service-kit-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let child = kit_server().notify_at(&format!("@{name}"), UnixDatagram::bind_addr(&address).unwrap()).start();
    child.notified("READY=1");
}

#[test]
fn a_notify_socket_that_is_gone_does_not_stop_the_service() {
    let child = started(kit_server().env("NOTIFY_SOCKET", "/nowhere/notify"));
    assert_eq!(get(child.ready(), "/health").status, 200);
}

#[test]
fn the_watchdog_is_told_again_and_again_until_the_end() {
    let mut child = kit_server().notify().env("WATCHDOG_USEC", 20_000).start();
    child.notified("READY=1");
    for _ in 0..3 {
        child.notified("WATCHDOG=1");
    }
    child.signal(Signal::SIGTERM);
    assert_eq!(child.code(), 0);
}

#[test]
fn a_watchdog_meant_for_another_process_is_not_told() {
    let child = kit_server().notify().env("WATCHDOG_USEC", 2_000).env("WATCHDOG_PID", 1).start();
    child.notified("READY=1");
    child.signal(Signal::SIGTERM);
    assert!(child.notified("STOPPING=1").starts_with("STOPPING=1"), "the next message is that of the end");
}
