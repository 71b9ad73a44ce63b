//! The wire protocol's entry for fuzzers: whatever the other side sends, nothing panics, and what is understood is
//! written as it was read.
//! Not here: choosing the bytes.

use crate::codec::Message;
use crate::message::{Notice, Reply, Request};

/// Reads one frame: its operation, then its body.
pub fn frame(bytes: &[u8]) {
    if let Some((operation, body)) = bytes.split_first() {
        one::<Request>(*operation, body);
        one::<Reply>(*operation, body);
        one::<Notice>(*operation, body);
    }
}

fn one<M: Message>(operation: u8, body: &[u8]) {
    if let Ok(message) = M::decode(operation, body) {
        assert_eq!((message.operation(), message.encode().as_slice()), (operation, body));
    }
}
