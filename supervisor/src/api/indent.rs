//! JSON over many lines, for people whose browser shows it as it comes.
//! Not here: reading it; order, numbers and strings stay as they were written.

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use http_body_util::BodyExt;

use super::answer::JSON;

/// An answer in JSON with its lines; any other as it is.
pub(super) async fn indented(response: Response) -> Response {
    if response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != JSON) {
        return response;
    }
    let (head, body) = response.into_parts();
    // It is in memory: nothing is waited for, and nothing can be missing.
    let json = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Response::from_parts(head, Body::from(lines(&json)))
}

fn lines(json: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, &byte) in json.iter().enumerate() {
        let is_empty = matches!((byte, json.get(at + 1)), (b'{', Some(b'}')) | (b'[', Some(b']')));
        let ends_empty =
            matches!((byte, at.checked_sub(1).map(|at| json[at])), (b'}', Some(b'{')) | (b']', Some(b'[')));
        match byte {
            _ if quoted => {
                quoted = escaped || byte != b'"';
                escaped = byte == b'\\' && !escaped;
                shown.push(byte);
            }
            b'{' | b'[' if !is_empty => {
                depth += 1;
                shown.push(byte);
                new_line(&mut shown, depth);
            }
            b'}' | b']' if !ends_empty => {
                depth = depth.saturating_sub(1);
                new_line(&mut shown, depth);
                shown.push(byte);
            }
            b',' => {
                shown.push(byte);
                new_line(&mut shown, depth);
            }
            b':' => shown.extend(b": "),
            _ => {
                quoted = byte == b'"';
                shown.push(byte);
            }
        }
    }
    shown.push(b'\n');
    shown
}

fn new_line(shown: &mut Vec<u8>, depth: usize) {
    shown.push(b'\n');
    shown.resize(shown.len() + 2 * depth, b' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_blanks_are_added() {
        let value: Value = json!({
            "a": {}, "b": [], "c": [1, -2.5e3, {"d": null}], "e\"{,:": "\\\"}]: ,", "f": "\\", "g": [[]], "h": "[]{}",
        });
        let shown = lines(value.to_string().as_bytes());
        assert_eq!(String::from_utf8(shown).unwrap(), serde_json::to_string_pretty(&value).unwrap() + "\n");
    }
}
