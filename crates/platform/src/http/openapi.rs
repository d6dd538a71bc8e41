//! What every operation of the OpenAPI document shares: the problems it can end in, and how to sign in.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// Adds the shared parts to a document: bearer security, the problem answers of each operation, its roles.
pub fn complete(document: &mut Value) {
    document["components"]["securitySchemes"]["bearer"] =
        json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" });
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for (path, item) in paths {
        let Some(item) = item.as_object_mut() else { continue };
        for operation in item.values_mut().filter(|operation| operation.get("responses").is_some()) {
            let signed_in = operation.get("security").is_some_and(|security| security != &json!([{}]));
            let has_body = operation.get("requestBody").is_some();
            for status in shared_statuses(signed_in, has_body, path.contains('{')) {
                let responses = &mut operation["responses"];
                if responses.get(status).is_none() {
                    responses[status] = problem(status);
                }
            }
        }
    }
}

fn shared_statuses(signed_in: bool, has_body: bool, has_id: bool) -> Vec<&'static str> {
    let mut statuses = vec!["400", "422", "429", "503"];
    if signed_in {
        statuses.extend(["401", "403"]);
    }
    if has_body {
        statuses.extend(["408", "412", "413", "415"]);
    }
    if has_id {
        statuses.extend(["404", "409", "412"]);
    }
    statuses
}

fn problem(status: &str) -> Value {
    let description = match status {
        "400" => "The request cannot be read",
        "401" => "Not signed in, or the sign-in no longer counts",
        "403" => "The account may not do this",
        "404" => "Not there, or not yours to see",
        "408" => "The body took too long to arrive",
        "409" => "The present state does not allow it",
        "412" => "It was changed since the version in If-Match",
        "413" => "The body is too large",
        "415" => "The body is not JSON",
        "422" => "Some fields are not right",
        "429" => "Too many requests",
        _ => "Not available right now; nothing was changed",
    };
    json!({
        "description": description,
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
    })
}

/// A public GET as a path item, for routes whose addresses are made at run time.
pub fn public_get(operation_id: &str, tag: &str, summary: &str, media: &str, parameters: Vec<Value>) -> Value {
    let schema = if media == "application/json" { json!({ "type": "object" }) } else { json!({ "type": "string" }) };
    json!({ "get": {
        "operationId": operation_id, "tags": [tag], "summary": summary, "security": [{}], "parameters": parameters,
        "responses": { "200": { "description": summary, "content": { media: { "schema": schema } } } }
    } })
}

/// A document of these path items alone, to be merged into a router's.
pub fn document(paths: Map<String, Value>) -> OpenApi {
    let document = json!({ "openapi": "3.1.0", "info": { "title": "", "version": "" }, "paths": paths });
    // Invariant: the text above is a document; a test reads every operation of it.
    serde_json::from_value(document).unwrap_or_default()
}
