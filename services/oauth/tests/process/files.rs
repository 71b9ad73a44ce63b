//! Its files: who can read them, copies of them, new keys, and what is refused.
//! Not here: what is in them.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::child::{Launch, give_away};
use crate::client::get;
use crate::visitor::{Site, code, mode, redeem, refresh, register, text};
use crate::{oauth, started};

#[test]
fn what_it_keeps_is_for_its_user_alone_and_its_log_has_no_secret() {
    let site = Site::new();
    let child = site.launch().env("OAUTH_LOG", "trace").start();
    let client = register(child.ready()).unwrap();
    let code = code(&site, [child.ready(); 3], &client).unwrap();
    let tokens = redeem(child.ready(), &client, &code).unwrap().json();
    let (access, token) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    let next = refresh(child.ready(), &client, &token).unwrap().json();
    site.introspect(&child, &access);
    assert_eq!(redeem(child.ready(), &client, &code).unwrap().status, 400);

    assert_eq!(mode(&site.path("")), 0o700);
    for entry in std::fs::read_dir(site.path("")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    child.signal(Signal::SIGTERM);
    child.logged("ended");
    let log = child.log();
    assert!(log.contains("\"event\":\"refreshed\"") && log.contains("\"route\":\"/token\""), "{log}");
    let secret = std::fs::read_to_string(site.path("svc-mail.secret")).unwrap();
    let key = std::fs::read_to_string(site.path("encryption.keys")).unwrap();
    let next = [text(&next, "access_token"), text(&next, "refresh_token")];
    let secrets = [&code, &access, &token, &next[0], &next[1], &secret, key.trim().split(' ').nth(1).unwrap()];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    for word in ["mcp_br_", "mcp_tx_", "mcp_st_", "entra-code", "entra-refresh", "graph-token", "secret-of"] {
        assert!(!log.contains(word), "{word} is in the log");
    }
}

#[test]
fn a_backup_is_made_while_it_runs_and_stands_in_for_the_database() {
    let site = Site::new();
    let child = site.start();
    let client = register(child.ready()).unwrap();
    let code = code(&site, [child.ready(); 3], &client).unwrap();
    let tokens = redeem(child.ready(), &client, &code).unwrap().json();
    let copy = site.data.path().join("copy.db");
    let backup = || {
        let program = env!("CARGO_BIN_EXE_oauth");
        let launch = Launch::of(program, &["backup", copy.to_str().unwrap()]);
        launch.env("OAUTH_DATA_DIR", site.path("").display()).start().code_and_errors()
    };
    assert_eq!(backup(), (0, String::new()));
    assert_eq!(mode(&copy), 0o600);
    let (code, complaint) = backup();
    assert!(code == 1 && complaint.contains("exists"), "{complaint}");
    assert!(copy.exists(), "it is somebody's");
    let half = site.data.path().join("half.db");
    let launch = Launch::of(env!("CARGO_BIN_EXE_oauth"), &["backup", half.to_str().unwrap()]);
    let empty = site.data.path().join("empty");
    assert_eq!(launch.env("OAUTH_DATA_DIR", empty.display()).start().code_and_errors().0, 1);
    assert!(!half.exists(), "where there is nothing to copy nothing is left");

    drop(child);
    let restored = started(site.launch().env("DCR_DATABASE_PATH", copy.display()));
    assert_eq!(site.introspect(&restored, &text(&tokens, "access_token"))["active"], true);
    assert_eq!(refresh(restored.ready(), &client, &text(&tokens, "refresh_token")).unwrap().status, 200);
}

#[test]
fn a_clean_stop_leaves_everything_in_the_one_file() {
    let site = Site::new();
    let mut child = site.start();
    let client = register(child.ready()).unwrap();
    let code = code(&site, [child.ready(); 3], &client).unwrap();
    let access = text(&redeem(child.ready(), &client, &code).unwrap().json(), "access_token");
    assert!(size(&site.path("oauth.db-wal")) > 0, "there is something to fold");
    child.signal(Signal::SIGTERM);
    assert_eq!(child.code(), 0);
    assert_eq!(size(&site.path("oauth.db-wal")), 0);

    let alone = site.data.path().join("alone.db");
    std::fs::copy(site.path("oauth.db"), &alone).unwrap();
    let restored = started(site.launch().env("DCR_DATABASE_PATH", alone.display()));
    assert_eq!(site.introspect(&restored, &access)["active"], true);
}

#[test]
fn who_stops_does_not_wait_for_another_that_writes() {
    let site = Site::new();
    let mut child = site.start();
    register(child.ready()).unwrap();
    let other = site.database();
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM clients").unwrap();
    let began = Instant::now();
    child.signal(Signal::SIGTERM);
    assert_eq!(child.code(), 0);
    assert!(began.elapsed() < Duration::from_secs(4), "requests wait for 5 s: {:?}", began.elapsed());
    other.execute_batch("ROLLBACK").unwrap();
    let clients: i64 = other.query_row("SELECT count(*) FROM clients", [], |row| row.get(0)).unwrap();
    assert_eq!(clients, 1);
}

#[test]
fn an_ordinary_user_can_do_all_of_it() {
    let site = Site::new();
    give_away(site.data.path());
    let child = started(site.launch().for_ordinary_user());
    let client = register(child.ready()).unwrap();
    let code = code(&site, [child.ready(); 3], &client).unwrap();
    let tokens = redeem(child.ready(), &client, &code).unwrap().json();
    assert_eq!(refresh(child.ready(), &client, &text(&tokens, "refresh_token")).unwrap().status, 200);
    let copy = site.path("copy.db").display().to_string();
    for words in [&["rotate-key"][..], &["backup", &copy]] {
        let command = Launch::of(env!("CARGO_BIN_EXE_oauth"), words).env("OAUTH_DATA_DIR", site.path("").display());
        assert_eq!(command.for_ordinary_user().start().code_and_errors(), (0, String::new()), "{words:?}");
    }
    assert_eq!(site.introspect(&child, &text(&tokens, "access_token"))["active"], true);
    let user = site.data.path().metadata().unwrap().uid();
    for entry in std::fs::read_dir(site.path("")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!((path.metadata().unwrap().uid(), mode(&path)), (user, 0o600), "{}", path.display());
    }
}

#[test]
fn a_new_key_is_taken_up_by_what_runs_and_opens_what_was_sealed_before() {
    let site = Site::new();
    let child = site.start();
    let client = register(child.ready()).unwrap();
    let code = code(&site, [child.ready(); 3], &client).unwrap();
    let mut token = text(&redeem(child.ready(), &client, &code).unwrap().json(), "refresh_token");
    let before = std::fs::read_to_string(site.path("encryption.keys")).unwrap();
    for round in 2..4 {
        let rotate =
            Launch::of(env!("CARGO_BIN_EXE_oauth"), &["rotate-key"]).env("OAUTH_DATA_DIR", site.path("").display());
        assert_eq!(rotate.start().code_and_errors(), (0, String::new()));
        let sealed_by: u8 = site
            .database()
            .query_row("SELECT sealed FROM entra_tokens", [], |row| Ok(row.get::<_, Vec<u8>>(0)?[0]))
            .unwrap();
        assert_eq!(sealed_by, round);
        let answer = refresh(child.ready(), &client, &token).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        token = text(&answer.json(), "refresh_token");
    }
    let after = std::fs::read_to_string(site.path("encryption.keys")).unwrap();
    assert!(!after.contains(before.trim()), "a key that nothing is sealed with is gone");
    assert_eq!(mode(&site.path("encryption.keys")), 0o600);
}

#[test]
fn what_cannot_be_used_is_refused_with_its_name_and_without_its_secret() {
    let data = tempfile::tempdir().unwrap();
    let foreign = data.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE dcr_clients (id)").unwrap();
    let foreign = foreign.display().to_string();
    let entra = vec![("DCR_AZURE_CLIENT_ID", "x"), ("DCR_AZURE_CLIENT_SECRET", "hush"), ("DCR_AZURE_TENANT_ID", "y")];
    for (variables, complaint) in [
        (vec![("DCR_AZURE_CLIENT_SECRET", "hush")], "DCR_AZURE_CLIENT_ID"),
        (vec![("DCR_AZURE_CLIENT_ID", "x"), ("DCR_AZURE_TENANT_ID", "y")], "DCR_AZURE_CLIENT_SECRET"),
        (vec![("DCR_AZURE_CLIENT_SECRET_MAIL", "hush"), ("DCR_AZURE_CLIENT_ID", "x")], "DCR_AZURE_CLIENT_SECRET"),
        (vec![("OAUTH_DCR", "maybe")], "OAUTH_DCR"),
        (vec![("OAUTH_RATE_TOKEN", "many")], "OAUTH_RATE_TOKEN"),
        (vec![("OAUTH_TRUSTED_PROXIES", "proxy")], "OAUTH_TRUSTED_PROXIES"),
        (vec![("OAUTH_DEFAULT_RESOURCE", "fax")], "OAUTH_DEFAULT_RESOURCE"),
        (vec![("MAIL_DEFAULT_SCOPES", "fax.send")], "MAIL_DEFAULT_SCOPES"),
        (vec![("DCR_ACCESS_TOKEN_TTL_SECONDS", "5")], "DCR_ACCESS_TOKEN_TTL_SECONDS"),
        ([entra.clone(), vec![("DCR_OAUTH_REDIRECT_URI", "http://example.com/x")]].concat(), "DCR_OAUTH_REDIRECT_URI"),
        (
            [entra.clone(), vec![("OAUTH_LOGIN_ORIGINS", "https://a.example;script-src")]].concat(),
            "OAUTH_LOGIN_ORIGINS",
        ),
        ([entra, vec![("OAUTH_LOGIN_ORIGINS", "https://\u{e4}.example")]].concat(), "OAUTH_LOGIN_ORIGINS"),
        (vec![("DCR_DATABASE_PATH", foreign.as_str())], "another program"),
        (vec![("OAUTH_DATA_DIR", "relative")], "OAUTH_DATA_DIR"),
        (vec![("OAUTH_DATA_DIR", "/dev/null/x")], "OAUTH_DATA_DIR"),
    ] {
        let launch = variables.iter().fold(oauth(data.path()), |launch, (name, value)| launch.env(name, value));
        let (code, said) = launch.start().code_and_errors();
        assert!(code == 2 && said.contains(complaint) && !said.contains("hush"), "{variables:?}: {code} {said}");
    }
}

#[test]
fn a_damaged_database_is_refused_with_what_to_do_and_left_as_it_is() {
    let site = Site::new();
    let mut child = site.start();
    register(child.ready()).unwrap();
    child.signal(Signal::SIGTERM);
    assert_eq!(child.code(), 0);
    let whole = std::fs::read(site.path("oauth.db")).unwrap();
    let hole = |mut file: Vec<u8>| {
        file[2 * 4096..6 * 4096].fill(0);
        file
    };
    for damaged in [b"no database".to_vec(), whole[..5 * 4096].to_vec(), hole(whole.clone())] {
        std::fs::write(site.path("oauth.db"), &damaged).unwrap();
        let (code, said) = site.launch().start().code_and_errors();
        assert!(code == 2 && said.contains("is damaged") && said.contains("oauth backup"), "{code} {said}");
        assert_eq!(std::fs::read(site.path("oauth.db")).unwrap(), damaged);
    }
    std::fs::write(site.path("oauth.db"), &whole).unwrap();
    drop(started(site.launch()));
}

#[test]
fn a_secret_that_anybody_could_guess_is_refused() {
    let site = Site::new();
    drop(site.start());
    for text in ["", "\n", "short"] {
        std::fs::write(site.path("svc-mail.secret"), text).unwrap();
        let (code, said) = site.launch().start().code_and_errors();
        assert!(code == 2 && said.contains("svc-mail.secret` is too short"), "{code} {said}");
    }
}

#[test]
fn the_data_directory_follows_the_home_of_its_user() {
    let home = tempfile::tempdir().unwrap();
    let child = started(oauth(home.path()).without("OAUTH_DATA_DIR").env("HOME", home.path().display()));
    assert_eq!(get(child.ready(), "/health").status, 200);
    assert!(home.path().join(".local/state/m365-mcp/oauth/oauth.db").exists());
}

fn size(path: &std::path::Path) -> u64 {
    path.metadata().map_or(0, |file| file.len())
}
