//! Random texts: codes, tokens, identifiers.
//! Not here: randomness of our own; it is the system's.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers: it gave some at the start");
    bytes
}

/// 256 bits, as 43 characters that need no escaping anywhere.
pub(crate) fn token() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}

/// As long as what Entra issues: codes have about 1,200 characters, refresh tokens 1,700, tokens of Graph 2,400. A client
/// that has room for less fails there.
pub(crate) fn long(characters: usize) -> String {
    let mut text = String::new();
    while text.len() < characters {
        text.push_str(&token());
    }
    text.truncate(characters);
    text
}

/// A random identifier in the usual form (RFC 9562, version 4).
pub(crate) fn guid() -> String {
    let mut bytes = bytes::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}
