//! What may be shown of an error: it comes from programs that were given secrets, and may repeat them.
//! Not here: where errors come from.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::post;

/// A shorter part may be in an error by chance, and protects nothing.
const LEAST: usize = 4;
/// Of an error, so many characters are kept.
const MOST: usize = 300;

/// The secrets of one alert, and the parts of them that are secret in themselves.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn add(&mut self, secret: &str) {
        self.keep(secret);
    }

    /// Of a mail server: also as they are sent (RFC 4616, and LOGIN).
    pub(super) fn add_login(&mut self, user: &str, password: &str) {
        self.keep(password);
        self.keep(&STANDARD.encode(password));
        self.keep(&STANDARD.encode(format!("\0{user}\0{password}")));
    }

    /// Of an address the host is shown, and nothing else.
    pub(super) fn add_address(&mut self, address: &str) {
        self.keep(address);
        let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
        let (authority, path) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
        if let Some((login, _)) = authority.rsplit_once('@') {
            let plain = post::unescaped(login);
            for login in [login, &String::from_utf8_lossy(&plain)] {
                self.keep(login);
                login.split(':').for_each(|part| self.keep(part));
            }
            // This is how it is sent; a server may repeat it.
            self.keep(&STANDARD.encode(plain));
        }
        self.keep(path);
        for part in path.split(['/', '?', '&', '=', '#']) {
            self.keep(part);
            self.keep(&String::from_utf8_lossy(&post::unescaped(part)));
        }
    }

    fn keep(&mut self, part: &str) {
        if part.len() >= LEAST {
            self.0.push(part.to_owned());
            // What is longer is replaced before what it contains.
            self.0.sort_by_key(|part| std::cmp::Reverse(part.len()));
        }
    }

    /// One line without them.
    pub(super) fn redacted(&self, text: &str) -> String {
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let shown = self.0.iter().fold(line, |line, secret| line.replace(secret.as_str(), "***"));
        shown.chars().take(MOST).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_secret_address_is_shown() {
        let mut secrets = Secrets::default();
        secrets.add_address("https://user:hunter2@hooks.example.org/services/T0001/B0002/s3cr3t?key=k3yk3y");
        let said = "POST https://user:hunter2@hooks.example.org/services/T0001/B0002/s3cr3t?key=k3yk3y failed;\n\
                    unknown token s3cr3t of T0001 for hunter2 (k3yk3y)";
        let shown = secrets.redacted(said);
        for secret in ["hunter2", "s3cr3t", "T0001", "B0002", "k3yk3y", "\n"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("failed; unknown token *** of *** for *** (***)"), "{shown}");
    }

    #[test]
    fn a_login_is_shown_neither_as_it_is_written_nor_as_it_is_meant_nor_as_it_is_sent() {
        let mut secrets = Secrets::default();
        secrets.add_address("https://user:p%40ssw0rd@example.org/");
        secrets.add_address("https://example.org/t%2Bk%3Dn?key=%C3%A4%C3%B6%C3%BC%C3%9F");
        secrets.add_login("me", "hunter2");
        let sent = ["user:p@ssw0rd", "hunter2", "\0me\0hunter2"].map(|text| STANDARD.encode(text));
        let shown = secrets.redacted(&format!("t+k=n äöüß p%40ssw0rd p@ssw0rd {}", sent.join(" ")));
        assert_eq!(shown, "*** *** *** *** *** *** ***");
    }

    #[test]
    fn an_error_of_a_server_is_cut() {
        assert_eq!(Secrets::default().redacted(&"x".repeat(100_000)).len(), MOST);
    }
}
