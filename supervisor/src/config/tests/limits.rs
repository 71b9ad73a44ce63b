//! Great, deep, odd and random files: a stack or a clean refusal, soon.
//! Not here: what is in them.

use std::fmt::Write;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use proptest::prelude::*;

use super::*;

/// Of the processor, which other tests do not use up. Unoptimised, a quarter of this is enough.
const SOON: Duration = Duration::from_secs(20);

#[track_caller]
fn soon<T>(work: impl FnOnce() -> T) -> T {
    let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let before = used();
    let result = work();
    let took = used().saturating_sub(before);
    assert!(took < SOON, "took {took:?}");
    result
}

/// `count` services, each waiting for the one before, together about 10 MB.
fn chain(count: usize, padding: usize) -> String {
    let mut text = "[defaults]\nenv_file = [\"e\"]\nlive.http = \"/health\"\nrollout.handoff = \"socket\"\n".to_owned();
    for i in 0..count {
        let port = 10_000 + i;
        let on = if i == 0 { String::new() } else { format!("\"s{}\"", i - 1) };
        write!(
            text,
            "[services.s{i}]\ncommand = [\"/bin/x\", \"{}\"]\nport = {port}\ndepends_on = [{on}]\n",
            "p".repeat(padding)
        )
        .unwrap();
    }
    text
}

#[test]
fn ten_thousand_services_in_ten_megabytes_load_soon() {
    let text = chain(10_000, 900);
    assert!(text.len() > 9_000_000);
    let stack = soon(|| load_with(&text, &[("/stack/e", "A=1\nB=2")], &[])).unwrap();
    assert_eq!(stack.services.len(), 10_000);
}

#[test]
fn one_more_is_refused() {
    let text: String = (0..=10_000).fold(String::new(), |text, i| text + &format!("services.s{i}.command = \"x\"\n"));
    assert_eq!(soon(|| problems(&text)), ["more than 10000 services"]);
}

#[test]
fn ten_thousand_wrong_services_are_refused_soon() {
    let text = chain(10_000, 0).replace("depends_on = [\"s", "depends_on = [\"t").replace("port = ", "prot = ");
    let error = soon(|| load_with(&text, &[("/stack/e", "")], &[])).unwrap_err();
    assert_eq!(error.list.len(), 100);
    assert!(error.more > 15_000);
}

#[test]
fn a_cycle_through_everything_is_found_soon() {
    let text = chain(10_000, 0).replacen("depends_on = []", "depends_on = [\"s9999\"]", 1);
    let found = soon(|| load_with(&text, &[("/stack/e", "")], &[])).unwrap_err();
    assert!(found.list[0].message.starts_with("services depend on each other: "));
}

#[test]
fn a_thousand_files_may_be_included() {
    let load_many = |count: usize| {
        let names: Vec<(String, String)> =
            (0..count).map(|i| (format!("/stack/d/{i}.toml"), format!("services.s{i}.command = \"x\""))).collect();
        let files: Vec<(&str, &str)> = names.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        load_with("include = [\"d/*.toml\"]", &files, &[])
    };
    assert_eq!(load_many(1_000).unwrap().services.len(), 1_000);
    assert_eq!(load_many(1_001).unwrap_err().list[0].message, "more than 1000 files are included");
}

#[test]
fn deep_and_long_values_are_no_danger() {
    for text in [
        format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("services.a.command = \"{}\"", "${X:-".repeat(100_000)),
        format!("services.a.command = \"{}{}\"", "${X:-".repeat(100_000), "}".repeat(100_000)),
        format!("services.a.command = \"{}\"", "'a' ".repeat(100_000) + "'"),
        format!("services.a.{} = 1", "k".repeat(1_000_000)),
    ] {
        assert!(soon(|| load_with(&text, &[], &[])).is_err());
    }
    let text = format!("services.a.command = [\"{}\"]", "x".repeat(1_000_000));
    assert!(soon(|| load_with(&text, &[], &[])).is_ok());
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in "\\PC*") {
        let _ = load_with(&text, &[], &[]).map_err(|error| error.to_string());
    }

    #[test]
    fn no_value_of_a_key_is_a_panic(which in any::<prop::sample::Index>(), value in value(), more in value()) {
        let key = which.get(keys()).path.replace('*', "a");
        let text = format!("{key} = {value}\n[services.b]\ncommand = {more}");
        let _ = load_with(&text, &[("/stack/e", "A=1")], &[]).map_err(|error| error.to_string());
    }

    #[test]
    fn no_env_file_is_a_panic(text in "(?s).*") {
        let _ = load_with("services.a = { command = \"x\", env_file = \"e\" }", &[("/stack/e", &text)], &[])
            .map_err(|error| error.to_string());
    }
}

/// Something that may stand behind `=`.
fn value() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[ -~é]{0,12}",
        "\\$\\{[a-zA-Z]{0,3}(:-)?.{0,3}\\}",
        "[0-9]{0,22}[a-zA-Z]{0,3}",
        Just("e".to_owned())
    ];
    let leaf = prop_oneof![
        text.prop_map(|text| format!("{text:?}").replace('\'', "")),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("TOML has no such form", |f| f.is_finite()).prop_map(|number| format!("{number:e}")),
        any::<bool>().prop_map(|flag| flag.to_string()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::btree_map("[a-z]{1,6}|path|http|command|file", inner, 0..3).prop_map(|entries| {
                let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                format!("{{ {} }}", entries.join(", "))
            }),
        ]
    })
}
