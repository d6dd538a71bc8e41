//! The order log's addresses in the OpenAPI document, under whatever prefix a context mounts them.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::http::openapi::public_get;

/// `(path below the log, operation, summary, media type, what the address names)`.
const ADDRESSES: [(&str, &str, &str, &str, &[&str]); 6] = [
    ("checkpoint", "checkpoint", "The newest signed checkpoint (C2SP tlog-checkpoint)", "text/plain", &[]),
    (
        "tile/{level}/{n}",
        "tile",
        "A tile or entry bundle (C2SP tlog-tiles); `n` may go on with further segments: `x001/067`, `000.p/7`",
        "application/octet-stream",
        &["level", "n"],
    ),
    ("keys", "keys", "The verifier keys, one line per log of this offer, newest first", "text/plain", &[]),
    ("rules/{sha}", "rules", "The rules of this SHA-256, canonical JSON (RFC 8785)", "application/json", &["sha"]),
    ("receipts/{index}", "receipt", "The receipt of a leaf (C2SP tlog-proof@v1)", "text/plain", &["index"]),
    ("log", "log", "The leaves as JSON, for pages", "application/json", &[]),
];

/// Documents the routes that [`super::log_routes`] mounts below `<prefix>/{id}/offer`.
pub fn log_document(prefix: &str, tag: &str) -> OpenApi {
    let mut paths = Map::new();
    for (place, suffix, also) in [("offer", "", None), ("offer/logs/{k}", "_of_log", Some("k"))] {
        for (path, name, summary, media, names) in ADDRESSES {
            let mut parameters = vec![path_parameter("id", json!({ "type": "string", "format": "uuid" }))];
            parameters.extend(also.map(|k| path_parameter(k, json!({ "type": "integer", "minimum": 1 }))));
            parameters.extend(names.iter().map(|name| path_parameter(name, schema_of(name))));
            if name == "log" {
                parameters.push(query_parameter("after", json!({ "type": "integer", "minimum": -1, "default": -1 })));
                parameters.push(query_parameter("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000 })));
            }
            let operation = public_get(&format!("read_offer_{name}{suffix}"), tag, summary, media, parameters);
            paths.insert(format!("{prefix}/{{id}}/{place}/{path}"), operation);
        }
    }
    crate::http::openapi::document(paths)
}

fn schema_of(name: &str) -> Value {
    match name {
        "index" => json!({ "type": "integer", "minimum": 0 }),
        "level" => json!({ "type": "string", "pattern": "^(entries|[0-7])$" }),
        "n" => json!({ "type": "string", "pattern": "^[0-9]{3}$" }),
        "sha" => json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }),
        _ => json!({ "type": "string" }),
    }
}

fn path_parameter(name: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn query_parameter(name: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "required": false, "schema": schema })
}
