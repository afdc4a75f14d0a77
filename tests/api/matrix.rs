//! Who gets in where: every route of the router, and every kind of caller.
//!
//! The rows are held against the router's own list, so a route without a row fails; a caller is one line more.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use verigate::{
    config::Mode,
    domain::{KeyText, Scope},
    http::routes,
    store::{self, Db, NewApiKey},
};

use crate::{
    browser::Browser,
    server::{NOW, TestServer},
    tokens::issuer::{AUDIENCE, ISSUER, Signer, claims_but},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Whom a route is for.
#[derive(Clone, Copy, Debug)]
enum Access {
    /// Everybody; it looks at nobody.
    Anybody,
    /// Everybody, but a header that proves nothing is refused all the same.
    Optional,
    /// Whoever is signed in, about themselves.
    Person,
    /// Ada alone: it names something of hers, which for another is not there.
    Ada,
    /// A key that is made for it.
    Key(Scope),
}

/// A route, what to ask for there, and what those get whom it is for.
struct Row {
    method: &'static str,
    route: &'static str,
    access: Access,
    status: u16,
}

const fn row(method: &'static str, route: &'static str, access: Access, status: u16) -> Row {
    Row {
        method,
        route,
        access,
        status,
    }
}

/// Signing out comes last: it ends what the others need.
fn rows() -> Vec<Row> {
    use Access::{Ada, Anybody, Key, Optional, Person};
    vec![
        row("GET", "/", Person, 200),
        row("GET", "/verify", Person, 200),
        row("GET", "/submitted", Optional, 200),
        row("GET", "/submitted.html", Optional, 200),
        row("POST", "/create-verification-session", Person, 200),
        row("POST", "/verification-sessions", Person, 200),
        row("POST", "/test/verification-sessions", Person, 200),
        row("POST", "/reuse-verification-session", Ada, 200),
        row("GET", "/app/return", Anybody, 200),
        row("GET", "/config", Anybody, 200),
        row("GET", "/start/{token}", Anybody, 404),
        row("POST", "/start/{token}", Anybody, 404),
        // The provider of these tests is away, and nobody left for it.
        row("GET", "/sign-in", Anybody, 503),
        row("GET", "/oidc/callback", Anybody, 400),
        row("GET", "/status", Person, 200),
        row("GET", "/status/stream", Person, 200),
        row("GET", "/openapi.json", Anybody, 200),
        row("GET", "/docs", Anybody, 200),
        row("GET", "/static/{file}", Anybody, 404),
        row("GET", "/favicon.ico", Anybody, 200),
        row("POST", "/webhook", Anybody, 400),
        row("GET", "/healthz", Anybody, 200),
        row("GET", "/readyz", Anybody, 200),
        // Without a body, which is looked at only after the key.
        row("POST", "/v1/verifications", Key(Scope::Write), 415),
        row("GET", "/v1/verifications", Key(Scope::Read), 200),
        row("GET", "/v1/verifications/{id}", Key(Scope::Read), 200),
        row(
            "POST",
            "/v1/verifications/{id}/cancel",
            Key(Scope::Manage),
            404,
        ),
        row(
            "POST",
            "/v1/verifications/{id}/redact",
            Key(Scope::Manage),
            404,
        ),
        row("GET", "/v1/users/{user_id}", Key(Scope::Read), 200),
        // Nobody's: Ada shall still be there for the next caller.
        row("DELETE", "/v1/users/{user_id}", Key(Scope::Manage), 404),
        row("GET", "/v1/events", Key(Scope::Read), 200),
        row(
            "GET",
            "/v1/users/{user_id}/verifications",
            Key(Scope::Read),
            200,
        ),
        row(
            "POST",
            "/v1/users/{user_id}/allow-attempt",
            Key(Scope::Manage),
            204,
        ),
        row("POST", "/sign-out", Anybody, 303),
    ]
}

/// What a caller turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Ada,
    Bob,
    /// Says something in a header that proves nothing.
    Refused,
    Key(Vec<Scope>),
}

struct Caller {
    name: String,
    who: Who,
    headers: Vec<(&'static str, String)>,
}

fn bearer(name: &str, who: Who, token: &str) -> Caller {
    Caller {
        name: name.to_owned(),
        who,
        headers: vec![("authorization", format!("Bearer {token}"))],
    }
}

/// Everybody who may come.
async fn callers(server: &TestServer) -> Vec<Caller> {
    let mut all = vec![Caller {
        name: "nobody".to_owned(),
        who: Who::Nobody,
        headers: Vec::new(),
    }];
    for (person, who) in [("ada", Who::Ada), ("bob", Who::Bob)] {
        let cookie = Browser::signed_in(server, person).await.cookie.unwrap();
        let name = format!("{person}'s browser");
        let headers = vec![("cookie", cookie)];
        all.push(Caller {
            name,
            who: who.clone(),
            headers,
        });
        let signer = Signer::secret(SECRET.as_bytes());
        let token = signer.token("1", &claims_but(&json!({ "sub": person })));
        all.push(bearer(&format!("{person}'s token"), who, &token));
    }
    for (name, token) in wrong_tokens() {
        all.push(bearer(name, Who::Refused, &token));
    }
    all.extend(keys(server).await);
    all
}

fn wrong_tokens() -> Vec<(&'static str, String)> {
    let signer = Signer::secret(SECRET.as_bytes());
    let but = |changes: &Value| signer.token("1", &claims_but(changes));
    let good = but(&json!({}));
    let unsigned = signer.write(
        &json!({ "alg": "none", "kid": "1" }),
        &claims_but(&json!({})),
    );
    let unsigned = unsigned.rsplit_once('.').unwrap().0.to_owned() + ".";
    let other = Signer::secret(b"another secret that is long enough");
    let altered = {
        let parts: Vec<&str> = good.split('.').collect();
        let theirs = but(&json!({ "sub": "bob" }));
        let payload = theirs.split('.').nth(1).unwrap();
        format!("{}.{payload}.{}", parts[0], parts[2])
    };
    vec![
        ("a token without a signature", unsigned),
        (
            "a token signed with another secret",
            other.token("1", &claims_but(&json!({}))),
        ),
        (
            "a token signed with a key pair",
            Signer::rsa().token("1", &claims_but(&json!({}))),
        ),
        ("a token with another person's name put in", altered),
        ("an expired token", but(&json!({ "exp": NOW - 3600 }))),
        ("a token of the future", but(&json!({ "nbf": NOW + 3600 }))),
        ("a token without an end", but(&json!({ "exp": null }))),
        (
            "another issuer's token",
            but(&json!({ "iss": "https://evil.example/" })),
        ),
        (
            "a token for another audience",
            but(&json!({ "aud": "shop" })),
        ),
        ("a token of nobody", but(&json!({ "sub": null }))),
        ("half a token", good.split_at(good.len() / 2).0.to_owned()),
    ]
}

async fn keys(server: &TestServer) -> Vec<Caller> {
    let url = server.db.as_ref().unwrap().url().to_owned();
    let db = store::connect(&url.into(), 1).unwrap();
    let mut all = Vec::new();
    for scope in Scope::ALL {
        let key = make_key(&db, false, &[scope]).await;
        let name = format!("a key for {}", scope.as_str());
        all.push(bearer(&name, Who::Key(vec![scope]), &key));
    }
    let whole = make_key(&db, false, &Scope::ALL).await;
    all.push(bearer(
        "a key for everything",
        Who::Key(Scope::ALL.to_vec()),
        &whole,
    ));
    let live = make_key(&db, true, &Scope::ALL).await;
    all.push(bearer("a key of the other mode", Who::Refused, &live));
    for (name, end) in [
        (
            "a revoked key",
            "UPDATE api_keys SET revoked_at = now() WHERE token_hash = $1",
        ),
        (
            "an expired key",
            "UPDATE api_keys SET expires_at = now() WHERE token_hash = $1",
        ),
    ] {
        let key = make_key(&db, false, &Scope::ALL).await;
        let hash = KeyText::parse(&key).unwrap().hash();
        let ended = sqlx::query(end)
            .bind(&hash[..])
            .execute(server.pool())
            .await;
        assert_eq!(ended.unwrap().rows_affected(), 1);
        all.push(bearer(name, Who::Refused, &key));
    }
    let unknown = KeyText::mint(false, [1; 32]);
    all.push(bearer("a key nobody made", Who::Refused, unknown.expose()));
    db.close().await;
    all
}

async fn make_key(db: &Db, livemode: bool, scopes: &[Scope]) -> String {
    let key = KeyText::mint(livemode, rand::random());
    let new = NewApiKey {
        name: "of a test",
        key: &key,
        scopes,
        return_to: &[],
        lifetime: None,
    };
    store::insert_api_key(db, &new).await.unwrap();
    key.expose().to_owned()
}

/// The one rule of the whole table.
fn expected(row: &Row, who: &Who) -> u16 {
    match (row.access, who) {
        (Access::Anybody, _)
        | (Access::Optional, Who::Nobody | Who::Ada | Who::Bob)
        | (Access::Person, Who::Ada | Who::Bob)
        | (Access::Ada, Who::Ada) => row.status,
        (Access::Ada, Who::Bob) => 404,
        (Access::Key(needed), Who::Key(scopes)) if scopes.contains(&needed) => row.status,
        (Access::Key(_), Who::Key(_)) => 403,
        (Access::Optional | Access::Person | Access::Ada | Access::Key(_), _) => 401,
    }
}

/// What is Ada's, and nobody else's to see.
struct Hers {
    attempt: String,
    session: String,
}

impl Hers {
    async fn of(server: &TestServer, ada: &Caller) -> Self {
        let request = server.request(Method::POST, "/create-verification-session");
        let started = with(request, ada).json(&json!({ "client": "modal" }));
        let started: Value = started.send().await.unwrap().json().await.unwrap();
        let attempt: uuid::Uuid = sqlx::query_scalar("SELECT id FROM verifications")
            .fetch_one(server.pool())
            .await
            .unwrap();
        Self {
            attempt: attempt.to_string(),
            session: started["id"].as_str().unwrap().to_owned(),
        }
    }

    fn address(&self, row: &Row) -> String {
        let id = match row.method {
            "GET" => self.attempt.clone(),
            // Hers shall be as it is for the next caller.
            _ => uuid::Uuid::nil().to_string(),
        };
        let person = match row.method {
            "DELETE" => "nobody",
            _ => "ada",
        };
        row.route
            .replace("{id}", &id)
            .replace("{user_id}", person)
            .replace("{token}", "of-nobody")
            .replace("{file}", "no.css")
    }

    fn are_in(&self, text: &str) -> bool {
        text.contains(&self.attempt) || text.contains(&self.session)
    }
}

fn with(request: reqwest::RequestBuilder, caller: &Caller) -> reqwest::RequestBuilder {
    // As from a page of ours: what becomes of foreign ones is another matter.
    let request = request.header("sec-fetch-site", "same-origin");
    let headers = caller.headers.iter();
    headers.fold(request, |request, (name, value)| {
        request.header(*name, value)
    })
}

#[tokio::test]
async fn every_route_lets_in_whom_it_is_for_and_nobody_else() {
    let settings = [
        ("JWT_SECRET", SECRET),
        ("JWT_ISSUER", ISSUER),
        ("JWT_AUDIENCE", AUDIENCE),
        ("OIDC_ISSUER", "http://127.0.0.1:9"),
        ("OIDC_CLIENT_ID", "verigate"),
        ("OIDC_CLIENT_SECRET", "of the tests"),
        ("NATIVE", "on"),
        ("APP_LINKS", "https://app.example/verified"),
    ];
    let server = TestServer::configured(Mode::Serve, &settings).await;
    let callers = callers(&server).await;
    let hers = Hers::of(&server, &callers[1]).await;
    let mut wrong = Vec::new();
    let mut cells = 0;
    for row in rows() {
        for caller in &callers {
            let request = server.request(row.method.parse().unwrap(), &hers.address(&row));
            let request = with(request, caller);
            let request = match row.access {
                Access::Ada => request.json(&json!({ "verification_session": hers.session })),
                _ => request,
            };
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let cell = format!("{} {} for {}", row.method, row.route, caller.name);
            let expected = expected(&row, &caller.who);
            if status != expected {
                wrong.push(format!("{cell}: {status} instead of {expected}"));
            }
            // A live stream does not end.
            let is_stream = row.route == "/status/stream" && status == 200;
            let text = if is_stream {
                String::new()
            } else {
                answer.text().await.unwrap()
            };
            let may_see = match &caller.who {
                Who::Ada => true,
                Who::Key(scopes) => scopes.contains(&Scope::Read),
                Who::Nobody | Who::Bob | Who::Refused => false,
            };
            if hers.are_in(&text) && !may_see {
                wrong.push(format!("{cell} shows what is Ada's: {text}"));
            }
            cells += 1;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {cells}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(cells, rows().len() * callers.len());
}

#[test]
fn every_route_of_the_router_has_a_row_and_every_row_a_route() {
    let listed: BTreeSet<(String, String)> = routes()
        .into_iter()
        .map(|route| (route.method.to_string(), route.path))
        .collect();
    let rows = rows();
    let known: BTreeSet<(String, String)> = rows
        .iter()
        .map(|row| (row.method.to_owned(), row.route.to_owned()))
        .collect();
    assert_eq!(known, listed);
    assert_eq!(rows.len(), listed.len());
}
