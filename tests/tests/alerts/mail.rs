//! Mail: encrypted as it was asked for or not at all, to whom it was asked for.
//! Not here: the mail server (`post_office`).

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::{Stack, eventually};

use super::authority::Authority;
use super::post_office::{PostOffice, Wire};
use super::{alert, setup};

/// A stack that trusts this mail server alone, and mails through it with these further keys.
fn stack(office: &PostOffice, keys: &str) -> Stack {
    let mail = format!(
        "server = 'localhost', port = {}, from = 'Me <me@example.org>', to = ['a@example.org', 'b@example.org']",
        office.address.port()
    );
    let stack = setup(&format!("[[alerts]]\nname = 'mail'\nemail = {{ {mail}, {keys} }}\n"))
        .env("SSL_CERT_FILE", "@root/authority.pem")
        .prepare();
    fs::write(stack.path("authority.pem"), office.authority.pem()).expect("the directory can be written");
    stack.cli(&["start", "--no-wait"]).succeeded();
    stack
}

#[track_caller]
fn error(stack: &Stack) -> String {
    let failed = || alert(stack, "mail")["error"].as_str().map(str::to_owned);
    eventually("the mail to fail", failed)
}

#[test]
fn a_mail_goes_encrypted_to_all_with_cause_and_last_words() {
    for (wire, tls) in [(Wire::StartTls, "starttls"), (Wire::Tls, "tls")] {
        let office = PostOffice::start(wire);
        let stack = stack(&office, &format!("tls = '{tls}', user = 'me', password = 's3cret'"));
        let mail = office.wait();
        assert!(mail.encrypted, "{mail:#?}");
        assert_eq!(mail.login, Some(STANDARD.encode("\0me\0s3cret")));
        assert_eq!(mail.from.split('>').next(), Some("MAIL FROM:<me@example.org"));
        assert_eq!(mail.to, ["RCPT TO:<a@example.org>", "RCPT TO:<b@example.org>"]);
        for part in
            ["Subject: [t] sick crashes again and again\r\n", "exited with code 3", "no database", "Message-ID: <"]
        {
            assert!(mail.text.contains(part), "{}", mail.text);
        }
        eventually("it to count", || (alert(&stack, "mail")["sent"] == 1).then_some(()));
        assert_eq!(office.mails().len(), 1);
    }
}

#[test]
fn where_no_encryption_is_wanted_there_is_none() {
    let office = PostOffice::start(Wire::Clear);
    let _stack = stack(&office, "tls = 'none'");
    let mail = office.wait();
    assert!(!mail.encrypted && mail.login.is_none(), "{mail:#?}");
}

#[test]
fn a_server_that_does_not_encrypt_gets_neither_mail_nor_password() {
    let office = PostOffice::start(Wire::Clear);
    let stack = stack(&office, "user = 'me', password = 's3cret'");
    let error = error(&stack);
    assert!(error.contains("localhost") && !error.contains("s3cret"), "{error}");
    let heard = office.heard();
    assert!(heard.iter().all(|line| !line.starts_with("AUTH") && !line.starts_with("MAIL")), "{heard:?}");
}

#[test]
fn a_server_whose_certificate_nobody_vouches_for_gets_nothing() {
    let mut impostor = PostOffice::start(Wire::StartTls);
    impostor.authority = Authority::named("another");
    let stack = stack(&impostor, "user = 'me', password = 's3cret'");
    let error = error(&stack);
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert!(impostor.heard().iter().all(|line| !line.starts_with("AUTH")), "{:?}", impostor.heard());
}

#[test]
fn a_busy_mail_server_is_tried_again_and_one_that_refuses_is_not() {
    let busy = PostOffice::start(Wire::Clear);
    busy.refuse_next(&["450 busy"]);
    let _stack = stack(&busy, "tls = 'none'");
    busy.wait();
    let strict = PostOffice::start(Wire::Clear);
    strict.refuse_next(&["550 no such user"; 2]);
    let refused = stack(&strict, "tls = 'none'");
    eventually("it to be given up", || (alert(&refused, "mail")["lost"] == 1).then_some(()));
    assert!(error(&refused).contains("no such user"), "{}", error(&refused));
    assert_eq!(strict.mails().len(), 0);
}

#[test]
fn a_recipient_who_is_gone_is_told_of_and_costs_the_others_nothing() {
    let office = PostOffice::start(Wire::Clear);
    office.refuse_next(&["550 no such user"]);
    let stack = stack(&office, "tls = 'none'");
    let mail = office.wait();
    assert!(mail.text.contains("no database"), "{}", mail.text);
    let error = error(&stack);
    for part in ["taken for 1 of 2", "not for `a@example.org`", "no such user"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(alert(&stack, "mail")["queued"], 0);
    assert_eq!(office.mails().len(), 1, "and once");
}
