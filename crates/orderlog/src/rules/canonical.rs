//! RFC 8785 for the values that rules are made of: objects, arrays, strings, integers, booleans, null.

use serde::Serialize;
use serde_json::Value;

/// The canonical bytes of a value that holds integers only.
pub(super) fn bytes(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    match serde_json::to_value(value) {
        Ok(value) => write(&value, &mut out),
        Err(_) => unreachable!("rules have string keys and finite numbers"),
    }
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            // serde_json keeps insertion order where some crate of the build asks for it.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            list(out, [b'{', b'}'], members, |(key, value), out| {
                write(&Value::from(key.as_str()), out);
                out.push(b':');
                write(value, out);
            });
        }
        Value::Array(items) => list(out, [b'[', b']'], items, write),
        // serde_json spells strings, integers, booleans and null as RFC 8785 does.
        plain => out.extend_from_slice(plain.to_string().as_bytes()),
    }
}

fn list<T>(
    out: &mut Vec<u8>,
    [open, close]: [u8; 2],
    items: impl IntoIterator<Item = T>,
    write_item: impl Fn(T, &mut Vec<u8>),
) {
    out.push(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_item(item, out);
    }
    out.push(close);
}
