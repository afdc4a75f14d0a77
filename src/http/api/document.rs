//! The description of the API, made of the routes themselves: as a document, and as a page of it.

use std::sync::LazyLock;

use axum::{
    extract::State,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use utoipa::{
    PartialSchema as _,
    openapi::{
        Content, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
        header::{Header, HeaderBuilder},
        info::InfoBuilder,
        path::Operation,
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
        server::Server,
        tag::TagBuilder,
    },
};

use super::{
    outline,
    problem::{PROBLEM_JSON, Problem},
};
use crate::http::{
    error::Error, pages::document, router::describe, security::Surface, state::Site,
    views::DocsPage,
};

/// Written once: it never changes while the program runs.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(describe()).unwrap_or_default());

const INTRODUCTION: &str = "\
For an application's backend: have people verified, and see where they stand. \
Every call carries a key, made with `verigate keys create`, as `Authorization: Bearer vg_…`. \
People are named by the application's own ids. Errors are problems as RFC 9457 has them; \
decide by `code`, never by the words. New members may be added to answers at any time.";

/// `GET /openapi.json`.
pub(crate) async fn show_document() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind)], format!("{:#}", *DOCUMENT)).into_response()
}

/// `GET /docs`: the same to read, without a script.
pub(crate) async fn show_docs(State(site): State<Site>) -> Result<Response, Error> {
    static OUTLINE: LazyLock<outline::Outline> = LazyLock::new(|| outline::of(&DOCUMENT));
    let page = DocsPage {
        chrome: site.chrome(),
        introduction: INTRODUCTION,
        outline: &OUTLINE,
    };
    document(Surface::Page, &page)
}

/// What is said of the whole.
pub(crate) fn about() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Verigate")
        .version("1")
        .description(Some(INTRODUCTION));
    let tag = |name: &str, text: &str| TagBuilder::new().name(name).description(Some(text)).build();
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new("/")]))
        .tags(Some([
            tag(
                "verifications",
                "Attempts to verify a person, each one session at Stripe.",
            ),
            tag("users", "People, by the application's own ids."),
            tag("events", "What happened, in the order of each person's."),
        ]))
        .build()
}

/// Adds what holds for every call, so that none can forget it.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let has_id = path.contains('{');
        let operations = [&mut item.get, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            add_problems(operation, has_id);
        }
    }
    let components = document.components.get_or_insert_default();
    let problem = Problem::schema();
    components.schemas.insert("Problem".to_owned(), problem);
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("vg_live_… or vg_test_…")
        .description(Some("A key, made with `verigate keys create`."));
    components.add_security_scheme("api_key", SecurityScheme::Http(scheme.build()));
    document
}

/// Each status that may be answered whatever is asked, and what it means.
const ALWAYS: [(u16, &str); 7] = [
    (400, "The request cannot be understood."),
    (
        401,
        "No key, or none that works here: unknown, expired, revoked, or of the other mode.",
    ),
    (403, "The key lacks the scope."),
    (421, "The request names a host that is not this server's."),
    (
        422,
        "A part of the request is not valid; `member` or `detail` say which.",
    ),
    (
        500,
        "Something went wrong here; the request id leads to the reason in the log.",
    ),
    (
        503,
        "Something this needs is away for the moment; come back after `Retry-After`.",
    ),
];
const WITH_ID: (u16, &str) = (404, "There is nothing of this application's by that id.");
const WITH_BODY: [(u16, &str); 3] = [
    (408, "The body did not arrive in time."),
    (413, "The body is too large."),
    (415, "The body is not plain `application/json`."),
];

fn add_problems(operation: &mut Operation, has_id: bool) {
    let with_id = has_id.then_some(WITH_ID);
    let with_body = operation.request_body.as_ref().map(|_| WITH_BODY);
    let all = ALWAYS
        .into_iter()
        .chain(with_id)
        .chain(with_body.into_iter().flatten());
    let responses = &mut operation.responses.responses;
    for (status, text) in all {
        responses
            .entry(status.to_string())
            .or_insert_with(|| problem(status, text));
    }
}

fn problem(status: u16, text: &str) -> RefOr<utoipa::openapi::Response> {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let mut response = ResponseBuilder::new()
        .description(text)
        .content(PROBLEM_JSON, content);
    if status == 503 || status == 429 {
        response = response.header("Retry-After", header(Type::Integer, "Seconds to wait."));
    }
    if status == 401 {
        response = response.header("WWW-Authenticate", header(Type::String, "`Bearer`."));
    }
    RefOr::T(response.build())
}

fn header(kind: Type, text: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(kind).build();
    HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(text))
        .build()
}
