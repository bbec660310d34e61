//! Writes `docs/openapi.json`: the REST side (D-API-1 to D-API-7).

use serde_json::{Value, json};

use crate::schemas;

/// What a nonce may be, as `server/src/http/fresh.rs` reads it.
const NONCE: &str = "^[0-9A-Za-z]{1,32}$";

/// The whole document, `OpenAPI` 3.1.
pub(crate) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Dashboard snapshot",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
            "description": "One user's collection as one consistent snapshot. Later changes are \
                pushed over Socket.IO; see asyncapi.json. The prefix `/api` is configurable \
                (`DASHBOARD_BASE_PATH`)."
        },
        "servers": [{
            "url": "/",
            "description": "Wherever dashboard-server is reached, usually behind the host's proxy."
        }],
        "security": [{ "accessToken": [] }, { "sessionCookie": [] }],
        "tags": [{ "name": "snapshot", "description": "The dashboard's state, read at once." }],
        "paths": {
            "/api/dashboard": { "get": own_dashboard() },
            "/api/users/{userId}/dashboard": { "get": dashboard_of_user() }
        },
        "components": {
            "securitySchemes": security_schemes(),
            "parameters": parameters(),
            "headers": headers(),
            "responses": responses(),
            "schemas": all_schemas()
        }
    })
}

fn all_schemas() -> Value {
    let mut schemas = schemas::of_rest();
    let fresh = json!({
        "type": "object",
        "description": "The answer to a request with `fresh`.",
        "properties": {
            "fresh": { "type": "string", "pattern": NONCE, "description": "The request's nonce." },
            "tag": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_]{1,64}-[0-9]+$",
                "description": "`<epoch>-<revision>`, as in the `ETag`."
            },
            "view": {
                "anyOf": [reference("schemas/DashboardView"), { "type": "null" }],
                "description": "The dashboard; null where `have` is the tag."
            }
        },
        "required": ["fresh", "tag", "view"]
    });
    schemas.insert("FreshDashboard".to_owned(), fresh);
    Value::Object(schemas)
}

fn own_dashboard() -> Value {
    json!({
        "operationId": "getDashboard",
        "tags": ["snapshot"],
        "summary": "The dashboard of the caller",
        "description": "A user without data gets zeros and empty lists, not an error (D-API-1).",
        "parameters": [
            reference("parameters/Fresh"),
            reference("parameters/Have"),
            reference("parameters/IfNoneMatch"),
            reference("parameters/CorrelationId")
        ],
        "responses": answers(&["400", "401", "403", "429", "500", "503"])
    })
}

fn dashboard_of_user() -> Value {
    json!({
        "operationId": "getDashboardOfUser",
        "tags": ["snapshot"],
        "summary": "The dashboard of a user named in the path",
        "description": "The same as `/api/dashboard`, for callers that address users by path. Only \
            the caller's own id is answered.",
        "parameters": [
            {
                "name": "userId",
                "in": "path",
                "required": true,
                "description": "The token's `sub`; any text, not always a UUID.",
                "schema": { "type": "string", "minLength": 1 }
            },
            reference("parameters/Fresh"),
            reference("parameters/Have"),
            reference("parameters/IfNoneMatch"),
            reference("parameters/CorrelationId")
        ],
        "responses": answers(&["400", "401", "403", "429", "500", "503"])
    })
}

fn answers(errors: &[&str]) -> Value {
    let mut answers = json!({
        "200": reference("responses/Snapshot"),
        "304": reference("responses/NotModified")
    });
    for status in errors {
        let name = match *status {
            "400" => "Invalid",
            "401" => "Unauthorized",
            "403" => "Forbidden",
            "429" => "TooManyRequests",
            "500" => "InternalError",
            _ => "Unavailable",
        };
        answers[*status] = reference(&format!("responses/{name}"));
    }
    answers
}

fn security_schemes() -> Value {
    json!({
        "accessToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access token (`token_use` = `access`)."
        },
        "sessionCookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": "auth_token",
            "description": "The ID token (`token_use` = `id`). The name is configurable \
                (`DASHBOARD_AUTH_COOKIE`)."
        }
    })
}

fn parameters() -> Value {
    json!({
        "Fresh": {
            "name": "fresh",
            "in": "query",
            "description": "A nonce, another for each request. The answer repeats it (`FreshDashboard`), so that \
                it cannot be a cache's copy. `If-None-Match` is not looked at then.",
            "schema": { "type": "string", "pattern": NONCE }
        },
        "Have": {
            "name": "have",
            "in": "query",
            "description": "With `fresh`: the tag of the snapshot that the caller has, without quotes. Where it is \
                current, `view` is null. What is no tag is taken for none.",
            "schema": { "type": "string", "examples": ["k3f9-17"] }
        },
        "IfNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of the last snapshot: 304 where nothing changed since.",
            "schema": { "type": "string", "examples": ["\"k3f9-17\""] }
        },
        "CorrelationId": {
            "name": "X-Correlation-Id",
            "in": "header",
            "description": "Names the request in logs; made up by the server where absent.",
            "schema": { "type": "string" }
        }
    })
}

fn headers() -> Value {
    json!({
        "ETag": {
            "description": "`\"<epoch>-<revision>\"`: the number of the user's newest change that the \
                snapshot includes. The events' `revision` is such a number, too.",
            "required": true,
            "schema": { "type": "string", "pattern": "^\"[A-Za-z0-9_]{1,64}-[0-9]+\"$" }
        },
        "CacheControl": {
            "description": "Kept by the browser, asked again each time, shared with nobody; an answer to `fresh` \
                is not kept at all.",
            "schema": { "type": "string", "enum": ["private, no-cache", "no-store"] }
        },
        "CorrelationId": {
            "description": "Names the request in the server's logs.",
            "schema": { "type": "string" }
        },
        "RetryAfter": {
            "description": "When to ask again, in seconds.",
            "schema": { "type": "integer", "minimum": 0 }
        }
    })
}

fn responses() -> Value {
    let tagged = json!({
        "ETag": reference("headers/ETag"),
        "Cache-Control": reference("headers/CacheControl"),
        "X-Correlation-Id": reference("headers/CorrelationId")
    });
    json!({
        "Snapshot": {
            "description": "The dashboard (D-API-2); with `fresh`, within an object that repeats the nonce.",
            "headers": tagged,
            "content": { "application/json": { "schema": { "oneOf": [
                reference("schemas/DashboardView"),
                reference("schemas/FreshDashboard")
            ] } } }
        },
        "NotModified": {
            "description": "Nothing changed since the snapshot named in `If-None-Match`.",
            "headers": tagged
        },
        "Invalid": error("A token in the address, or a bad nonce.", false),
        "Unauthorized": error("No valid session.", false),
        "Forbidden": error("A valid session, but of another user; or a cookie of another site.", false),
        "TooManyRequests": error("More than an address or a user may ask for.", true),
        "InternalError": error("The server's fault.", false),
        "Unavailable": error("The database cannot be read now.", true)
    })
}

/// An answer with the standard body (D-API-7).
fn error(description: &str, retry: bool) -> Value {
    let mut headers = json!({ "X-Correlation-Id": reference("headers/CorrelationId") });
    if retry {
        headers["Retry-After"] = reference("headers/RetryAfter");
    }
    json!({
        "description": description,
        "headers": headers,
        "content": { "application/json": { "schema": reference("schemas/ErrorBody") } }
    })
}

fn reference(component: &str) -> Value {
    json!({ "$ref": format!("#/components/{component}") })
}
