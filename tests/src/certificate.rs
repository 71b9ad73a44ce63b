//! How long the certificate of a puppet that speaks TLS is good.
//! Not here: making it; the puppet does.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::stack::Stack;

/// From now on it is good from then until then, in seconds from now; gives both in seconds since 1970.
#[track_caller]
pub fn certificate(stack: &Stack, from: i64, until: i64) -> [i64; 2] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs().cast_signed();
    let times = [now + from, now + until];
    // Renamed into place, as the puppet may read at any moment.
    fs::write(stack.path("certificate.new"), format!("{} {}", times[0], times[1])).expect("ours");
    fs::rename(stack.path("certificate.new"), stack.path("certificate")).expect("ours");
    times
}
