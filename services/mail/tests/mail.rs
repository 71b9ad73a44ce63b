//! The mail service from outside.
//! Not here: what it shares with others; `services/kit/tests` says that.

#[path = "../../kit/tests/kit/child.rs"]
mod child;
#[path = "../../kit/tests/kit/client.rs"]
mod client;
#[path = "../../kit/tests/kit/mcp_service.rs"]
mod mcp_service;

#[test]
fn its_documents_are_served_and_what_is_not_built_says_so() {
    mcp_service::keeps_its_promises(
        env!("CARGO_BIN_EXE_mail"),
        "mail",
        "Mail Query",
        &["mail.read", "mail.write", "mail.send"],
    );
}

#[test]
fn it_says_its_version_and_its_variables_and_knows_no_other_argument() {
    let said = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mail")).args(arguments).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    assert_eq!(said(&["--version"]), (Some(0), format!("mail {}\n", env!("CARGO_PKG_VERSION"))));
    let (code, help) = said(&["--help"]);
    assert!(code == Some(0) && help.contains("MAIL_PORT") && help.contains("default 8002"), "{help}");
    let (code, complaint) = said(&["--prot", "1"]);
    assert_eq!((code, complaint.as_str()), (Some(2), "mail: unexpected argument `--prot`; see `mail --help`\n"));
}
