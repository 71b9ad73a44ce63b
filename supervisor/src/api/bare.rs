//! The answers that the HTTP library gives by itself, when a head is too big or is none: they have no body.
//! Not here: errors of our own (`problem`).

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::problem::{PROBLEM_JSON, Problem};
use super::router::harden;

/// A whole answer to take the place of one that begins with these bytes; `None` when that is one of ours.
pub(super) fn problem(begin: &[u8]) -> Option<Vec<u8>> {
    let code = begin.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = StatusCode::from_bytes(code).ok().filter(StatusCode::is_client_error)?;
    let head_len = begin.windows(4).position(|four| four == b"\r\n\r\n")?;
    let ours = begin[..head_len].windows(7).any(|word| word == b"nosniff");
    if ours {
        return None;
    }
    let detail = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "a head has at most 16 KiB and 64 fields",
        StatusCode::URI_TOO_LONG => "a path with its query has at most 16 KiB",
        _ => "this is no request in HTTP/1.1",
    };
    Some(whole(status, detail))
}

fn whole(status: StatusCode, detail: &str) -> Vec<u8> {
    let body = Problem::new(status, detail).document("");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    harden(&mut headers);
    let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    for (name, value) in &headers {
        // Writing to a string cannot fail, and these values are text.
        let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    head.push_str("\r\n");
    let mut whole = head.into_bytes();
    whole.extend(body);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_are_not_ours_are_replaced() {
        assert!(problem(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").is_some());
        let ours = whole(StatusCode::NOT_FOUND, "x");
        for other in [&ours[..], b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 x\r\n\r\n", b"HTTP/1.1 400", b"{}", b""] {
            assert_eq!(problem(other), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
