//! The mail service from outside.
//! Not here: what it shares with others; `services/kit/tests` says that.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

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
        let output = Command::new(env!("CARGO_BIN_EXE_mail")).args(arguments).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    assert_eq!(said(&["--version"]), (Some(0), format!("mail {}\n", env!("CARGO_PKG_VERSION"))));
    let (code, help) = said(&["--help"]);
    assert!(code == Some(0) && help.contains("MAIL_PORT") && help.contains("default 8002"), "{help}");
    let (code, complaint) = said(&["--prot", "1"]);
    assert_eq!((code, complaint.as_str()), (Some(2), "mail: unexpected argument `--prot`; see `mail --help`\n"));
}

#[test]
fn an_argument_that_is_no_text_is_refused_and_a_reader_who_leaves_is_no_failure() {
    let mut mail = Command::new(env!("CARGO_BIN_EXE_mail"));
    let refused = mail.arg(OsStr::from_bytes(b"\xff")).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let help = Command::new(env!("CARGO_BIN_EXE_mail")).arg("--help").stdout(writer).output().unwrap();
    assert_eq!((help.status.code(), help.stderr.as_slice()), (Some(0), &b""[..]));
}
