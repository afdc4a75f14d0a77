//! The static files: compiled in, and addressed by their content, so that a browser may keep them for ever.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::table::{Routes, get};

/// A year; the address changes when the content does.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For an address that may later mean other content.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("public, no-cache");
const A_DAY: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// The pages' style.
pub(crate) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_bytes!("../../static/verigate.css");
    Asset::new("verigate", "css", "text/css; charset=utf-8", body)
});

/// The verify button's script.
pub(crate) static VERIFY_SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_bytes!("../../static/verify.js");
    Asset::new("verify", "js", "text/javascript; charset=utf-8", body)
});

/// The live status's script.
pub(crate) static STATUS_SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_bytes!("../../static/status.js");
    Asset::new("status", "js", "text/javascript; charset=utf-8", body)
});

/// The tab's icon.
pub(crate) static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_bytes!("../../static/favicon.svg");
    Asset::new("favicon", "svg", "image/svg+xml", body)
});

/// Browsers ask for this one unbidden, also beside JSON, and log an error when it is missing.
const FAVICON_ICO: &[u8] = include_bytes!("../../static/favicon.ico");

/// A file that is part of the binary.
#[derive(Debug)]
pub(crate) struct Asset {
    name: &'static str,
    extension: &'static str,
    kind: HeaderValue,
    body: &'static [u8],
    address: String,
}

impl Asset {
    fn new(
        name: &'static str,
        extension: &'static str,
        kind: &'static str,
        body: &'static [u8],
    ) -> Self {
        let hash = hex::encode(&Sha256::digest(body)[..8]);
        Self {
            name,
            extension,
            kind: HeaderValue::from_static(kind),
            body,
            address: format!("/static/{name}.{hash}.{extension}"),
        }
    }

    /// Where a page finds it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it holds.
    #[cfg(feature = "dev")]
    pub(crate) fn body(&self) -> &'static [u8] {
        self.body
    }

    /// Is `file` this file's name, whatever its hash?
    fn is_named(&self, file: &str) -> bool {
        let mut parts = file.split('.');
        parts.next() == Some(self.name)
            && parts.next().is_some()
            && parts.next() == Some(self.extension)
            && parts.next().is_none()
    }
}

/// Every file under `/static/`.
pub(crate) fn all() -> [&'static Asset; 4] {
    [&STYLE, &VERIFY_SCRIPT, &STATUS_SCRIPT, &ICON]
}

/// `/static/{file}` and `/favicon.ico`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Routes<S> {
    Routes::new()
        .route("/static/{file}", get(send_asset))
        .route("/favicon.ico", get(send_favicon))
}

async fn send_asset(Path(file): Path<String>) -> Response {
    let Some(asset) = all().into_iter().find(|asset| asset.is_named(&file)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // While servers of two versions run side by side, a page of one may ask the other for its files: today's
    // content is better than a page without style, as long as nobody keeps it under yesterday's address.
    let current = asset.address.strip_prefix("/static/") == Some(&file);
    let keep = if current { FOR_EVER } else { ASK_AGAIN };
    let headers = [
        (header::CONTENT_TYPE, asset.kind.clone()),
        (header::CACHE_CONTROL, keep),
    ];
    (headers, asset.body).into_response()
}

async fn send_favicon() -> Response {
    let kind = HeaderValue::from_static("image/x-icon");
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, A_DAY)];
    (headers, FAVICON_ICO).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, body::to_bytes, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    async fn get_file(address: &str) -> Response {
        let request = Request::get(address).body(Body::empty()).unwrap();
        let (router, _) = routes::<()>().into_router();
        router.oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_file_under_the_hash_of_its_content_may_be_kept_for_ever() {
        for asset in all() {
            let response = get_file(asset.address()).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[header::CACHE_CONTROL], FOR_EVER);
            assert_eq!(response.headers()[header::CONTENT_TYPE], asset.kind);
            assert_eq!(
                to_bytes(response.into_body(), 1 << 20).await.unwrap(),
                asset.body
            );
        }
    }

    #[tokio::test]
    async fn under_the_hash_of_another_version_it_is_there_but_not_kept() {
        let response = get_file("/static/verigate.0123456789abcdef.css").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CACHE_CONTROL], ASK_AGAIN);
    }

    #[tokio::test]
    async fn other_names_are_not_found() {
        for name in [
            "x.css",
            "verigate.css",
            "verigate.0.js",
            "verigate.0.css.map",
            "..%2fverigate.0.css",
        ] {
            let response = get_file(&format!("/static/{name}")).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{name}");
        }
    }

    #[tokio::test]
    async fn the_icon_browsers_ask_for_unbidden_is_there() {
        let response = get_file("/favicon.ico").await;
        assert_eq!(response.status(), StatusCode::OK);
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert!(body.starts_with(&[0, 0, 1, 0]), "not an icon file");
    }
}
