//! The security headers of every answer, the errors included.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, InvalidHeaderValue, REFERRER_POLICY,
            STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Response,
};
use url::Url;

use crate::http::router::START_PREFIX;

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What an answer is, as far as the browser's guards are concerned; a handler says it as an extension of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Surface {
    /// No document: JSON, text, a file, an event stream. Nothing may be loaded from it.
    #[default]
    Data,
    /// A page of ours.
    Page,
    /// A page with the form that starts a verification, and with Stripe's modal.
    Verify,
}

/// The foreign origins that a page may have to do with.
#[derive(Clone, Debug)]
pub(crate) struct Origins<'a> {
    /// Stripe.js.
    pub(crate) script: &'a Url,
    /// Stripe's API.
    pub(crate) api: &'a Url,
    /// Where a person gives the document.
    pub(crate) verify: &'a [String],
}

/// The header values, put together once.
#[derive(Clone, Debug)]
pub(crate) struct HeaderPolicy(Arc<Values>);

#[derive(Debug)]
struct Values {
    data: HeaderValue,
    page: HeaderValue,
    verify: HeaderValue,
    no_camera: HeaderValue,
    camera: HeaderValue,
    transport: Option<HeaderValue>,
}

/// One year; not for subdomains, which belong to the host application.
const TRANSPORT: &str = "max-age=31536000";
const NO_POWERS: &str = "microphone=(), geolocation=(), payment=(), usb=()";

impl HeaderPolicy {
    /// `https` is whether people reach us by it.
    pub(crate) fn new(origins: &Origins<'_>, https: bool) -> Result<Self, InvalidHeaderValue> {
        let script = script_sources(origins.script);
        let frames = frame_sources(origins);
        let camera: Vec<String> = frames
            .iter()
            .filter(|origin| !origin.starts_with(STRIPE_HOOKS))
            .map(|origin| format!("\"{origin}\""))
            .collect();
        Ok(Self(Arc::new(Values {
            data: "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
                .parse()?,
            page: content_policy("'self'", "'self'", "'none'", "'self'").parse()?,
            verify: content_policy(
                &format!("'self' {}", script.join(" ")),
                &format!("'self' {}", origins.api.origin().ascii_serialization()),
                &frames.join(" "),
                // Chromium holds the redirect that answers a form to the form's own policy.
                &format!("'self' {}", origins.verify.join(" ")),
            )
            .parse()?,
            no_camera: format!("camera=(), {NO_POWERS}").parse()?,
            // Nothing else is taken from this page: Stripe's frames ask for powers of their own, and a browser
            // would complain about each that is refused.
            camera: format!("camera=(self {})", camera.join(" ")).parse()?,
            transport: https.then(|| HeaderValue::from_static(TRANSPORT)),
        })))
    }

    fn apply(&self, surface: Surface, headers: &mut HeaderMap) {
        let values = &self.0;
        let (content, camera) = match surface {
            Surface::Data => (&values.data, &values.no_camera),
            Surface::Page => (&values.page, &values.no_camera),
            Surface::Verify => (&values.verify, &values.camera),
        };
        headers.insert(CONTENT_SECURITY_POLICY, content.clone());
        headers.insert(PERMISSIONS_POLICY, camera.clone());
        // Nowhere `no-referrer`: with it a browser sends `Origin: null` along with our own forms.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        if let Some(transport) = &values.transport {
            headers.insert(STRICT_TRANSPORT_SECURITY, transport.clone());
        }
        // Only a file with its hash in its name says otherwise.
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
    }
}

/// Puts the headers on whatever answer comes by.
pub(crate) async fn add_headers(
    policy: &HeaderPolicy,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let is_link = request.uri().path().starts_with(START_PREFIX);
    let mut response = next(request).await;
    let surface = response
        .extensions()
        .get::<Surface>()
        .copied()
        .unwrap_or_default();
    policy.apply(surface, response.headers_mut());
    if is_link {
        // The address is a secret, and nobody is to learn it, ourselves included, whatever was answered.
        let no_path = HeaderValue::from_static("strict-origin");
        response.headers_mut().insert(REFERRER_POLICY, no_path);
    }
    response
}

const STRIPE_JS: &str = "https://js.stripe.com";
const STRIPE_JS_PARTS: &str = "https://*.js.stripe.com";
const STRIPE_HOOKS: &str = "https://hooks.stripe.com";

/// The script's own origin; Stripe's real script loads further parts from hosts below its own.
fn script_sources(script: &Url) -> Vec<String> {
    let origin = script.origin().ascii_serialization();
    let parts = (origin == STRIPE_JS).then(|| STRIPE_JS_PARTS.to_owned());
    std::iter::once(origin).chain(parts).collect()
}

/// <https://docs.stripe.com/security/guide#content-security-policy>, and the page that takes the document.
fn frame_sources(origins: &Origins<'_>) -> Vec<String> {
    let mut sources = script_sources(origins.script);
    if sources.iter().any(|source| source == STRIPE_JS) {
        sources.push(STRIPE_HOOKS.to_owned());
    }
    for origin in origins.verify {
        if !sources.contains(origin) {
            sources.push(origin.clone());
        }
    }
    sources
}

fn content_policy(script: &str, connect: &str, frame: &str, form: &str) -> String {
    format!(
        "default-src 'none'; script-src {script}; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src {connect}; frame-src {frame}; form-action {form}; base-uri 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(script: &str, api: &str, verify: &[&str], https: bool) -> HeaderPolicy {
        let verify: Vec<String> = verify.iter().map(|origin| (*origin).to_owned()).collect();
        let origins = Origins {
            script: &Url::parse(script).unwrap(),
            api: &Url::parse(api).unwrap(),
            verify: &verify,
        };
        HeaderPolicy::new(&origins, https).unwrap()
    }

    fn real() -> HeaderPolicy {
        let script = "https://js.stripe.com/dahlia/stripe.js";
        policy(
            script,
            "https://api.stripe.com/",
            &["https://verify.stripe.com"],
            true,
        )
    }

    fn headers(policy: &HeaderPolicy, surface: Surface) -> HeaderMap {
        let mut headers = HeaderMap::new();
        policy.apply(surface, &mut headers);
        headers
    }

    fn directive(headers: &HeaderMap, name: &str) -> String {
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        let found = policy.split("; ").find_map(|part| part.strip_prefix(name));
        found
            .unwrap_or_else(|| panic!("no {name} in {policy}"))
            .trim()
            .to_owned()
    }

    #[test]
    fn the_verify_page_lets_stripes_modal_its_camera_and_the_redirect_work() {
        let headers = headers(&real(), Surface::Verify);
        let stripe = "https://js.stripe.com https://*.js.stripe.com";
        assert_eq!(
            directive(&headers, "script-src"),
            format!("'self' {stripe}")
        );
        assert_eq!(
            directive(&headers, "frame-src"),
            format!("{stripe} https://hooks.stripe.com https://verify.stripe.com")
        );
        assert_eq!(
            directive(&headers, "connect-src"),
            "'self' https://api.stripe.com"
        );
        assert_eq!(
            directive(&headers, "form-action"),
            "'self' https://verify.stripe.com"
        );
        let permissions = headers[PERMISSIONS_POLICY].to_str().unwrap();
        assert_eq!(
            permissions,
            "camera=(self \"https://js.stripe.com\" \"https://*.js.stripe.com\" \"https://verify.stripe.com\")"
        );
    }

    #[test]
    fn another_page_reaches_nothing_but_us() {
        let headers = headers(&real(), Surface::Page);
        for name in ["script-src", "style-src", "connect-src", "form-action"] {
            assert_eq!(directive(&headers, name), "'self'", "{name}");
        }
        assert_eq!(directive(&headers, "frame-src"), "'none'");
        assert!(
            headers[PERMISSIONS_POLICY]
                .to_str()
                .unwrap()
                .starts_with("camera=(), ")
        );
    }

    #[test]
    fn no_surface_may_be_framed_rebased_or_run_inline_code() {
        for surface in [Surface::Data, Surface::Page, Surface::Verify] {
            let headers = headers(&real(), surface);
            assert_eq!(directive(&headers, "default-src"), "'none'");
            assert_eq!(directive(&headers, "frame-ancestors"), "'none'");
            assert_eq!(directive(&headers, "base-uri"), "'none'");
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(headers[REFERRER_POLICY], "same-origin");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[CACHE_CONTROL], "no-store");
        }
    }

    #[test]
    fn the_local_stripe_is_one_origin_named_once() {
        let local = "http://127.0.0.1:12111";
        let policy = policy("http://127.0.0.1:12111/stripe.js", local, &[local], false);
        let headers = headers(&policy, Surface::Verify);
        assert_eq!(directive(&headers, "frame-src"), local);
        assert_eq!(directive(&headers, "script-src"), format!("'self' {local}"));
        assert!(headers.get(STRICT_TRANSPORT_SECURITY).is_none());
    }

    #[test]
    fn https_is_insisted_on_only_where_people_use_it() {
        assert_eq!(
            headers(&real(), Surface::Data)[STRICT_TRANSPORT_SECURITY],
            TRANSPORT
        );
    }

    #[test]
    fn a_file_that_says_how_long_it_keeps_is_believed() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        );
        real().apply(Surface::Data, &mut headers);
        assert_eq!(
            headers[CACHE_CONTROL],
            "public, max-age=31536000, immutable"
        );
    }
}
