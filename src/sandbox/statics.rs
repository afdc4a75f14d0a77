//! The sandbox's script, style and pictures, compiled in.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::Sandbox;

const STRIPE_JS: &str = include_str!("../../static/sandbox/stripe.js");
const FRAME_JS: &str = include_str!("../../static/sandbox/frame.js");
const STYLE: &str = include_str!("../../static/sandbox/sandbox.css");
const ICON: &str = include_str!("../../static/sandbox/icon.svg");
const SPECIMEN: &str = include_str!("../../static/sandbox/specimen.svg");

const SCRIPT_TYPE: &str = "text/javascript; charset=utf-8";
const SVG_TYPE: &str = "image/svg+xml";

/// A new build has new addresses, so that browsers may keep these files for good.
static FOLDER: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    (FRAME_JS, STYLE, ICON).hash(&mut hasher);
    format!("/static/{:016x}", hasher.finish())
});

pub(crate) fn routes() -> Router<Arc<Sandbox>> {
    Router::new()
        .route("/stripe.js", get(stripe_js))
        .route("/static/{folder}/{name}", get(file))
        .route("/favicon.ico", get(favicon))
        .route("/links/{token}", get(linked_file))
}

/// Where a page finds one of its files.
pub(crate) fn address(name: &str) -> String {
    format!("{}/{name}", *FOLDER)
}

async fn stripe_js() -> Response {
    let headers = [
        (header::CONTENT_TYPE, SCRIPT_TYPE),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, STRIPE_JS).into_response()
}

async fn file(Path((folder, name)): Path<(String, String)>) -> Response {
    let (content_type, content) = match name.as_str() {
        "frame.js" => (SCRIPT_TYPE, FRAME_JS),
        "sandbox.css" => ("text/css; charset=utf-8", STYLE),
        "icon.svg" => (SVG_TYPE, ICON),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    if FOLDER.strip_prefix("/static/") != Some(folder.as_str()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, content).into_response()
}

async fn favicon() -> Response {
    ([(header::CONTENT_TYPE, SVG_TYPE)], ICON).into_response()
}

/// What a file link shows: the same specimen for every document and selfie.
async fn linked_file(State(sandbox): State<Arc<Sandbox>>, Path(token): Path<String>) -> Response {
    let now_ms = sandbox.time.now_ms();
    let world = sandbox.world();
    let mut links = world.links.newest_first();
    match links.find(|(_, link)| link.token == token) {
        Some((_, link)) if !link.is_expired(now_ms) => {
            ([(header::CONTENT_TYPE, SVG_TYPE)], SPECIMEN).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
