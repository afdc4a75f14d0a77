//! Secrets and personal data planted wherever they can come in, and looked for wherever they must not come out: every
//! table, the database's own files, the log at its loudest, every answer, what Stripe is sent, metrics and `explain`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use verigate::{clock::Clock, stripe::signature};

use crate::{
    program::{Program, RawAnswer, request, run, send, working_folder},
    support::{PATIENCE, eventually, outage::OwnPostgres},
};

/// What every canary begins with; nothing else does.
const MARK: &str = "zq7k";
const SESSION: &str = "vs_PlainMarker1";

fn canary(name: &str) -> String {
    format!("{MARK}{name}")
}

/// Every canary in a text. Compared without case: names of hosts are made small on the way.
fn canaries_in(text: &str) -> BTreeSet<String> {
    let text = text.to_ascii_lowercase();
    let mut found: BTreeSet<String> = text
        .match_indices(MARK)
        .map(|(at, _)| {
            let name = text[at + MARK.len()..].chars();
            name.take_while(char::is_ascii_alphanumeric).collect()
        })
        .collect();
    // The bytes of the mark as `{:?}` shows them, and in hex.
    for hidden in ["122, 113, 55, 107", "7a71376b"] {
        if text.contains(hidden) {
            found.insert(format!("(as {hidden})"));
        }
    }
    found
}

/// Where a canary may come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The JSON that starts a verification, for whoever clicked.
    CreateAnswer,
    /// The `Location` of the same for a form.
    CreateLocation,
    /// The `Authorization` of a call to Stripe.
    StripeAuthorization,
}

/// What must come out, and where. All others must come out nowhere.
const HANDED_OUT: [(&str, Place); 7] = [
    ("createdclientsecret", Place::CreateAnswer),
    ("createdurl", Place::CreateAnswer),
    ("readurl", Place::CreateLocation),
    ("nativeclientsecret", Place::CreateAnswer),
    ("nativeephemeralkey", Place::CreateAnswer),
    ("freshclientsecret", Place::CreateAnswer),
    ("stripesecretkey", Place::StripeAuthorization),
];
/// What may come out there too: a start that has just landed is shared with whoever asks in the next moment.
const SHARED: [(&str, Place); 6] = [
    ("createdurl", Place::CreateLocation),
    ("readclientsecret", Place::CreateAnswer),
    ("readurl", Place::CreateAnswer),
    ("nativeurl", Place::CreateAnswer),
    ("nativeurl", Place::CreateLocation),
    ("freshurl", Place::CreateAnswer),
];

/// Members of a session that say who somebody is.
const PERSONAL: [&str; 24] = [
    "firstname",
    "lastname",
    "idnumber",
    "line1",
    "line2",
    "city",
    "postalcode",
    "state",
    "email",
    "phone",
    "placeofbirth",
    "sex",
    "providedemail",
    "providedphone",
    "errorreason",
    "metadata",
    "unknownmember",
    "documentnumber",
    "documentname",
    "documentfile",
    "selfiefile",
    "reportemail",
    "reportphone",
    "relatedperson",
];

/// A session with personal data in every member that can hold some.
fn session(source: &str, status: &str, secrets: Option<&str>) -> Value {
    let c = |name: &str| canary(&format!("{source}{name}"));
    let secret = |name: &str| secrets.map(|set| canary(&format!("{set}{name}")));
    let url = secret("url").map(|token| format!("https://verify.stripe.com/start/{token}"));
    json!({
        "id": SESSION, "object": "identity.verification_session", "created": 1, "livemode": false,
        "status": status, "type": "document", "redaction": null, "client_reference_id": null,
        "client_secret": secret("clientsecret").map(|it| format!("{SESSION}_secret_{it}")), "url": url,
        "metadata": { "note": c("metadata") },
        "last_error": { "code": "document_expired", "reason": c("errorreason") },
        "verified_outputs": {
            "first_name": c("firstname"), "last_name": c("lastname"), "id_number": c("idnumber"),
            "address": {
                "line1": c("line1"), "line2": c("line2"), "city": c("city"),
                "postal_code": c("postalcode"), "state": c("state"),
            },
            "dob": { "day": 1, "month": 2, "year": 1903 }, "email": c("email"), "phone": c("phone"),
            "unparsed_place_of_birth": c("placeofbirth"), "sex": c("sex"),
        },
        "provided_details": { "email": c("providedemail"), "phone": c("providedphone") },
        "related_person": { "account": "acct_1", "person": c("relatedperson") },
        "member_of_tomorrow": { "deep": [c("unknownmember")] },
        "last_verification_report": {
            "id": "vr_PlainMarker1", "object": "identity.verification_report",
            "document": {
                "number": c("documentnumber"), "first_name": c("documentname"), "files": [c("documentfile")],
            },
            "selfie": { "selfie": c("selfiefile") },
            "email": { "email": c("reportemail") }, "phone": { "phone": c("reportphone") },
        },
    })
}

/// An answer of Stripe's, byte for byte.
fn answer(status: &str, headers: &str, body: &str) -> String {
    let now = chrono::DateTime::from_timestamp(Clock::system().unix(), 0).unwrap();
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT");
    format!(
        "HTTP/1.1 {status}\r\nDate: {date}\r\nConnection: close\r\nRequest-Id: req_PlainMarker1\r\n\
         Set-Cookie: s={cookie}\r\nX-Tomorrow: {odd}\r\n{headers}Content-Length: {length}\r\n\r\n{body}",
        cookie = canary("stripecookie"),
        odd = canary("stripeheader"),
        length = body.len()
    )
}

fn refusal(status: &str, name: &str) -> String {
    let c = |part: &str| canary(&format!("{name}{part}"));
    // As Stripe does with a key it does not know, a proxy may repeat more.
    let error = json!({ "error": {
        "type": "invalid_request_error", "code": "parameter_invalid", "param": format!("metadata {}", c("param")),
        "message": format!("Invalid API Key provided: {}", c("message")),
        "request_log_url": format!("https://dashboard.stripe.com/{}", c("logurl")),
        "verification_session": { "client_secret": c("session") },
    }});
    answer(status, "", &error.to_string())
}

/// A Stripe that answers as told, and remembers every byte of both sides.
struct FakeStripe {
    address: SocketAddr,
    state: Arc<Mutex<Spoken>>,
}

#[derive(Default)]
struct Spoken {
    /// By the beginning of the request line.
    answers: BTreeMap<&'static str, String>,
    asked: Vec<String>,
    answered: String,
}

const CREATE: &str = "POST /v1/identity/verification_sessions ";
const LIST: &str = "GET /v1/identity/verification_sessions?";
const READ: &str = "GET /v1/identity/verification_sessions/";
const KEY: &str = "POST /v1/ephemeral_keys ";
const EVENTS: &str = "GET /v1/events?";
/// What is found when the server starts.
const MISSED: &str = "vs_PlainMarkerMissed";

impl FakeStripe {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Spoken::default()));
        let spoken = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(speak(stream, Arc::clone(&spoken)));
            }
        });
        Self { address, state }
    }

    /// From now on it answers so, whatever follows in the request.
    fn says(&self, to: &'static str, answer: String) {
        self.state.lock().unwrap().answers.insert(to, answer);
    }
}

/// Something happens before the server is there.
fn miss_some(stripe: &FakeStripe) {
    let mut missed = session("missed", "verified", Some("missed"));
    missed["id"] = json!(MISSED);
    missed["last_verification_report"]["id"] = json!("vr_PlainMarkerMissed");
    let event = json!({
        "id": "evt_PlainMarkerMissed", "object": "event", "created": 1, "livemode": false,
        "type": "identity.verification_session.verified", "data": { "object": missed },
        "request": { "id": "req_1", "idempotency_key": canary("missedidempotencykey") },
    });
    for (to, item) in [(EVENTS, event), (LIST, missed)] {
        let odd = json!({ "id": 5, "member": canary("misseditem") });
        let list = json!({ "object": "list", "has_more": false, "data": [item, odd] });
        stripe.says(to, answer("200 OK", "", &list.to_string()));
    }
}

async fn speak(mut stream: TcpStream, spoken: Arc<Mutex<Spoken>>) {
    let mut asked = Vec::new();
    while !is_whole(&asked) {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(length @ 1..) => asked.extend_from_slice(&chunk[..length]),
            _ => return,
        }
    }
    let asked = String::from_utf8(asked).unwrap();
    let answers = spoken.lock().unwrap().answers.clone();
    let known = answers.iter().find(|(start, _)| asked.starts_with(**start));
    let answer = known.map_or_else(|| answer("404 Not Found", "", "{}"), |(_, it)| it.clone());
    spoken.lock().unwrap().asked.push(asked);
    if stream.write_all(answer.as_bytes()).await.is_ok() {
        spoken.lock().unwrap().answered += &answer;
    }
    if answer.contains("X-Never: ends") {
        tokio::time::sleep(PATIENCE).await;
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= length.unwrap_or(0)
}

/// The answer depends on the mode, and whether somebody is signed in.
const ANY: u16 = 0;

/// A request's line, a header, and the status of the answer.
const TYPED: [(&str, &str, &str, u16); 15] = [
    ("GET /verify?name=zq7krequestquery", "X-A", "a", ANY),
    (
        "GET /submitted?session=zq7krequestsubmitted",
        "X-A",
        "zq7krequestheader",
        ANY,
    ),
    ("GET /zq7krequestpath", "X-A", "a", 404),
    (
        "DELETE /v1/users/zq7krequestforgotten",
        "Authorization",
        "Bearer zq7krequestapikey",
        401,
    ),
    ("GET /assets/zq7krequestasset.js", "X-A", "a", 404),
    ("POST /verify?zq7krequestpostquery", "X-A", "a", 405),
    ("ZQ7KREQUESTMETHOD /verify", "X-A", "a", 405),
    ("GET /verify", "Host", "zq7krequesthost.example", 421),
    (
        "POST /create-verification-session",
        "Origin",
        "https://zq7krequestorigin.example",
        ANY,
    ),
    ("GET /config", "Last-Event-Id", "zq7krequestlastevent", 200),
    (
        "GET /status",
        "Authorization",
        "Bearer zq7krequestauthorization",
        401,
    ),
    ("GET /verify", "Authorization", "zq7krequestbasic", 401),
    ("GET /healthz", "Range", "zq7krequestrange", 200),
    ("GET /readyz", "If-None-Match", "zq7krequestetag", 200),
    ("GET /status", "Accept-Language", "zq7krequestlanguage", ANY),
];

/// Everything that went in and came out.
struct Walk {
    server: SocketAddr,
    host: String,
    stripe: FakeStripe,
    /// What was sent to the server and answered.
    sent: String,
    /// What it must not say: each text with where it was found.
    out: Vec<(String, String)>,
    /// What it says to whom it may.
    allowed: Vec<(Place, String)>,
    request_ids: Vec<String>,
    events: i64,
}

impl Walk {
    /// Sends a request with canaries in everything a request has, and keeps the answer among what must not leak.
    async fn ask(&mut self, line: &str, headers: &[(&str, &str)], body: &str) -> RawAnswer {
        let answer = self.ask_raw(line, headers, body).await;
        self.out.push((line.to_owned(), answer.0.clone()));
        answer
    }

    /// Without a stranger's headers, of which one would decide alone who it is.
    async fn ask_plainly(&mut self, line: &str, headers: &[(&str, &str)]) -> RawAnswer {
        let host = self.host.clone();
        let all: Vec<_> = std::iter::once(("Host", &*host))
            .chain(headers.iter().copied())
            .collect();
        let request = request(line, &all, "");
        let answer = send(self.server, &request).await;
        self.sent += &String::from_utf8_lossy(&request);
        self.out.push((line.to_owned(), answer.0.clone()));
        answer
    }

    async fn ask_raw(&mut self, line: &str, headers: &[(&str, &str)], body: &str) -> RawAnswer {
        let host = self.host.clone();
        let mut all = vec![("Host", &*host)];
        if headers.iter().any(|(name, _)| *name == "Host") {
            all.clear();
        }
        let strangers = [
            ("Cookie", "cookie"),
            ("User-Agent", "useragent"),
            ("Referer", "referer"),
            ("X-Forwarded-For", "forwardedfor"),
            ("X-Request-Id", "requestid"),
            ("Idempotency-Key", "idempotencykey"),
            ("Traceparent", "traceparent"),
            ("X-Api-Key", "apikey"),
        ];
        let strangers = strangers.map(|(header, name)| (header, canary(&format!("request{name}"))));
        all.extend(
            strangers
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        all.extend_from_slice(headers);
        let request = request(line, &all, body);
        let answer = send(self.server, &request).await;
        assert!(answer.status() > 0, "{line}: {}", answer.0);
        self.sent += &String::from_utf8_lossy(&request);
        self.request_ids
            .extend(answer.header("x-request-id").map(str::to_owned));
        answer
    }

    /// Starts a verification until the answer has what it should by now, and keeps it apart.
    async fn start(
        &mut self,
        line: &str,
        headers: &[(&str, &str)],
        body: &str,
        (place, until): (Place, &str),
    ) {
        let until = canary(until);
        let begun = Instant::now();
        loop {
            let answer = self.ask_raw(line, headers, body).await;
            let (head, body) = answer.0.split_once("\r\n\r\n").unwrap();
            let location = answer.header("location").unwrap_or("").to_owned();
            let secrets = match place {
                Place::CreateAnswer => body.to_owned(),
                _ => location.clone(),
            };
            let rest = match place {
                Place::CreateAnswer => head.to_owned(),
                _ => format!("{}{body}", head.replace(&location, "")),
            };
            let has_it = secrets.contains(&until);
            self.allowed.push((place, secrets));
            self.out.push((format!("the rest of {line}"), rest));
            if has_it {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no {until}: {}", answer.0);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Delivers a body with this signature; `{}` in it stands for a right one.
    async fn deliver(&mut self, body: &str, header: &str, expected: u16) {
        let now = Clock::system().unix();
        let secret = SecretString::from(webhook_secret("webhookone"));
        let right = signature::sign(body.as_bytes(), &secret, now);
        let header = header.replace("{}", &right);
        let headers = [
            ("Stripe-Signature", &*header),
            ("Content-Type", "application/json"),
        ];
        let answer = self.ask("POST /webhook", &headers, body).await;
        assert_eq!(answer.status(), expected, "{}", answer.0);
    }

    /// An event about the session, of a later second than the one before.
    async fn tell(&mut self, kind: &str, status: &str) {
        self.events += 1;
        let mut object = session("hook", status, Some("hook"));
        object["last_verification_report"] = json!("vr_PlainMarker2");
        if status != "requires_input" {
            object["last_error"] = json!({ "code": null, "reason": canary("hookerrorreason") });
        }
        let event = json!({
            "id": format!("evt_PlainMarker{}", self.events), "object": "event",
            "type": format!("identity.verification_session.{kind}"),
            "created": Clock::system().unix() + self.events * 2, "livemode": false,
            "api_version": "2026-07-29.dahlia", "pending_webhooks": 1,
            "request": { "id": "req_1", "idempotency_key": canary("hookidempotencykey") },
            "data": {
                "object": object,
                "previous_attributes": { "status": canary("hookprevious") },
                "report": session("hook", status, None)["last_verification_report"],
            },
            "future": canary("hookenvelope"),
        });
        self.deliver(&event.to_string(), "{}", 200).await;
    }
}

fn webhook_secret(name: &str) -> String {
    format!("whsec_{}", canary(name))
}

const SERVER: [(&str, &str); 6] = [
    ("RUST_LOG", "trace"),
    ("BIND_ADDR", "127.0.0.1:0"),
    ("METRICS_ADDR", "127.0.0.1:0"),
    ("STRIPE_PUBLISHABLE_KEY", "pk_test_plain"),
    ("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"),
    ("MAIL_FROM", "no-reply@acme.example"),
];

/// What the operator sets, and of that what is secret.
fn secrets(database: &str, stripe: SocketAddr) -> [(&'static str, String); 6] {
    let password = format!("postgres://verigate:{}@", canary("databasepassword"));
    // Nobody is there, and what is said of that must not say more.
    let endpoint = json!({"shop": {
        "url": format!("http://127.0.0.1:1/{}?token={}", canary("endpointpath"), canary("endpointtoken")),
        "secrets": [format!("whsec_{}", canary("endpointsecretpaddedtothelengths"))],
    }});
    [
        (
            "DATABASE_URL",
            database.replace("postgres://verigate@", &password),
        ),
        ("STRIPE_API_BASE", format!("http://{stripe}")),
        (
            "STRIPE_SECRET_KEY",
            format!("sk_test_{}", canary("stripesecretkey")),
        ),
        (
            "STRIPE_WEBHOOK_SECRET",
            [webhook_secret("webhookone"), webhook_secret("webhooktwo")].join(","),
        ),
        ("WEBHOOK_ENDPOINTS", endpoint.to_string()),
        (
            "SMTP_URL",
            format!(
                "smtps://{}:{}@127.0.0.1:1",
                canary("smtpuser"),
                canary("smtppassword")
            ),
        ),
    ]
}

impl Walk {
    fn stripe_shows(&self, to: &'static str, id: &str, secrets: &str, headers: &str) {
        let mut shown = session("api", "requires_input", Some(secrets));
        shown["id"] = json!(id);
        self.stripe
            .says(to, answer("200 OK", headers, &shown.to_string()));
    }

    /// Every way to start, each with secrets of its own.
    async fn start_in_every_way(&mut self) {
        self.stripe_shows(CREATE, SESSION, "created", "");
        let modal = json!({ "client": "modal", "name": canary("requestjson") }).to_string();
        let json = [("Content-Type", "application/json")];
        let line = "POST /create-verification-session";
        self.start(
            line,
            &json,
            &modal,
            (Place::CreateAnswer, "createdclientsecret"),
        )
        .await;

        self.stripe_shows(READ, SESSION, "read", "");
        let form = format!("client=redirect&name={}", canary("requestform"));
        let html = [
            ("Accept", "text/html"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        self.start(line, &html, &form, (Place::CreateLocation, "readurl"))
            .await;

        self.stripe_shows(READ, SESSION, "native", "");
        let key = json!({
            "id": "ephkey_1", "object": "ephemeral_key", "secret": format!("ek_test_{}", canary("nativeephemeralkey")),
            "associated_objects": [{ "id": canary("keyassociated") }],
        });
        self.stripe
            .says(KEY, answer("200 OK", "", &key.to_string()));
        let line = format!(
            "POST /verification-sessions?user={}",
            canary("requeststartquery")
        );
        self.start(
            &line,
            &json,
            "{\"client\":\"native\"}",
            (Place::CreateAnswer, "nativeclientsecret"),
        )
        .await;
        let mut reuse = json!({ "verification_session": SESSION });
        reuse["options"] = json!({ "document": canary("requestreuse") });
        for (line, body) in [
            ("POST /reuse-verification-session", reuse.to_string()),
            ("POST /test/verification-sessions", canary("requesttest")),
        ] {
            let until = (Place::CreateAnswer, "nativeephemeralkey");
            self.start(line, &json, &body, until).await;
        }
    }

    /// Waits until a start asks Stripe itself again.
    async fn end_the_shared_start(&mut self) {
        self.stripe
            .says(READ, refusal("403 Forbidden", "refused403"));
        let line = "POST /create-verification-session";
        let answer = eventually("Stripe is asked", async || {
            let answer = self.ask_raw(line, &[], "").await;
            if answer.status() != 200 {
                return Some(answer);
            }
            let body = answer.body().to_owned();
            self.allowed.push((Place::CreateAnswer, body));
            None
        })
        .await;
        assert_eq!(answer.status(), 502, "{}", answer.0);
        self.out.push((line.to_owned(), answer.0));
    }

    /// Stripe refuses, repeats what it was sent, breaks off, and never ends; then a new attempt meets a replay.
    async fn start_in_vain(&mut self) {
        self.tell("created", "requires_input").await;
        self.end_the_shared_start().await;
        let shown = session("api", "requires_input", Some("broken")).to_string();
        let broken = |headers: &str| {
            let whole = answer("200 OK", headers, &shown);
            whole[..whole.len() - 9].to_owned()
        };
        let garbage = format!("<html>{}</html>", canary("stripegarbage"));
        for (to, answers) in [
            (
                READ,
                answer(
                    "502 Bad Gateway",
                    "Stripe-Should-Retry: false\r\n",
                    &garbage,
                ),
            ),
            (READ, answer("200 OK", "", &garbage)),
            (READ, broken("")),
            (READ, broken("X-Never: ends\r\n")),
            (READ, refusal("401 Unauthorized", "refused401")),
            (READ, refusal("429 Too Many Requests", "refused429")),
            (READ, refusal("500 Internal Server Error", "refused500")),
            (READ, refusal("400 Bad Request", "refused400")),
            (CREATE, refusal("400 Bad Request", "refusedcreate")),
            (CREATE, refusal("402 Payment Required", "refused402")),
        ] {
            self.stripe.says(to, answers);
            let failed = self.ask("POST /create-verification-session", &[], "").await;
            assert!([502, 503].contains(&failed.status()), "{}", failed.0);
        }
        let html = [("Accept", "text/html")];
        let failed = self
            .ask("POST /create-verification-session", &html, "")
            .await;
        assert_eq!(failed.status(), 502, "{}", failed.0);

        let stored = session("api", "requires_input", Some("replayederror")).to_string();
        let replayed = "Idempotent-Replayed: true\r\nStripe-Should-Retry: false\r\n";
        self.stripe.says(
            CREATE,
            answer("500 Internal Server Error", replayed, &stored),
        );
        let empty =
            json!({ "object": "list", "data": [], "has_more": false, "url": canary("listurl") });
        self.stripe
            .says(LIST, answer("200 OK", "", &empty.to_string()));
        self.ask("POST /create-verification-session", &[], "").await;

        self.stripe_shows(
            CREATE,
            "vs_PlainMarker2",
            "stale",
            "Idempotent-Replayed: true\r\n",
        );
        self.stripe_shows(READ, "vs_PlainMarker2", "fresh", "");
        let line = "POST /create-verification-session";
        self.start(line, &[], "", (Place::CreateAnswer, "freshclientsecret"))
            .await;
    }

    /// Deliveries that are not authentic, no events, or odd ones.
    async fn hear_nonsense(&mut self) {
        let c = canary;
        for header in [
            format!("t=1800000000,v1={}", c("signaturehex")),
            format!("t={},v1=00", c("signaturetime")),
            c("signaturealone"),
            format!("t=1,{}=1", c("signaturescheme")),
        ] {
            let body = session("forged", "verified", Some("forged")).to_string();
            self.deliver(&body, &header, 400).await;
        }
        for (body, expected) in [
            (format!("{{\"id\":\"{}\"", c("garbageopen")), 400),
            (format!("[\"{}\"]", c("garbagearray")), 400),
            (
                format!(
                    "{{\"object\":\"{}\",\"id\":\"evt_1\",\"type\":\"a\"}}",
                    c("garbageobject")
                ),
                400,
            ),
            (
                format!(
                    "{{\"object\":\"event\",\"id\":{{\"{}\":1}},\"type\":\"a\"}}",
                    c("garbageid")
                ),
                400,
            ),
            (
                format!(
                    "{{\"object\":\"event\",\"id\":\"{}\",\"type\":\"a.b\"}}",
                    c("oddid")
                ),
                200,
            ),
            (c("toolarge") + &" ".repeat(300 * 1024), 413),
        ] {
            let header = format!("{{}},v0={}", c("signatureold"));
            self.deliver(&body, &header, expected).await;
        }
        let thin = json!({
            "id": "evt_PlainMarkerThin", "object": "v2.core.event", "livemode": false,
            "type": "v1.identity.verification_session.verified", "created": "2026-01-01T00:00:00.000Z",
            "related_object": {
                "id": SESSION, "type": "identity.verification_session", "url": format!("/v1/{}", c("thinurl")),
            },
            "changes": { "before": { "verified_outputs": c("thinbefore") } }, "reason": c("thinreason"),
        });
        self.deliver(&thin.to_string(), "{}", 200).await;
        let zipped = [("Content-Encoding", &*c("requestencoding"))];
        let refused = self
            .ask("POST /webhook", &zipped, &c("requestzipped"))
            .await;
        assert_eq!(refused.status(), 415);
    }

    /// What a stranger can type, on every kind of answer.
    async fn be_a_stranger(&mut self) {
        for accept in ["application/json", "text/html"] {
            for (line, name, value, status) in TYPED {
                let headers = [("Accept", accept), (name, value)];
                let answer = self.ask(line, &headers, "").await;
                let fine = status == ANY || status == answer.status();
                assert!(fine, "{line}: {}", answer.0);
            }
            let large = canary("requestlarge") + &" ".repeat(64 * 1024);
            let line = "POST /create-verification-session";
            let answer = self.ask(line, &[("Accept", accept)], &large).await;
            assert!([401, 413].contains(&answer.status()), "{}", answer.0);
        }
    }

    async fn see_the_pages(&mut self) {
        for accept in ["application/json", "text/html"] {
            for line in [
                "GET /",
                "GET /verify",
                "GET /submitted",
                "GET /status",
                "GET /config",
            ] {
                let page = self.ask(line, &[("Accept", accept)], "").await;
                assert_eq!(page.status(), 200, "{line}: {}", page.0);
            }
        }
    }

    /// `told` is what the log says before the address.
    async fn scrape(&mut self, program: &mut Program, told: &str, known: &str) {
        let address = program.word_after(told).await;
        let address = address.split('"').next().unwrap();
        let metrics = send(
            address.parse().unwrap(),
            &request("GET /metrics", &[("Host", address)], ""),
        )
        .await;
        assert!(metrics.body().contains(known), "{}", metrics.0);
        self.out.push(("metrics".to_owned(), metrics.0));
    }

    /// Ends the program, and keeps all that it said.
    async fn end(&mut self, mut program: Program, libraries: &[&str]) {
        program.signal("-TERM");
        assert_eq!(
            program.ended().await.code(),
            Some(0),
            "{}",
            program.logged()
        );
        let log = program.logged();
        for id in &self.request_ids {
            assert!(log.contains(id.as_str()), "the log has every request: {id}");
        }
        assert!(self.request_ids.len() > 10);
        self.request_ids.clear();
        for marker in ["vs_PlainMarker", "DEBUG"].iter().chain(libraries) {
            assert!(log.contains(*marker), "the log has {marker}");
        }
        self.out.push(("the log".to_owned(), log));
        self.out
            .push(("standard output".to_owned(), program.printed()));
    }

    /// Another walk, through `serve`, which logs as machines read it.
    async fn serve(&mut self, variables: &[(&str, &str)], folder: &std::path::Path) {
        let more = [
            ("LOG_FORMAT", "json"),
            ("PUBLIC_URL", "https://verify.example"),
            ("SHUTDOWN_DELAY", "0"),
            ("APP_NAME", "Acme"),
            ("SUPPORT_URL", "https://acme.example/help"),
            ("PRIVACY_URL", "https://acme.example/privacy"),
            ("HAND_OFF", "on"),
        ];
        let variables: Vec<_> = variables.iter().chain(&more).copied().collect();
        let mut program = Program::start(&["serve"], &variables, folder);
        let address = program.word_after("\"serving\",\"address\":\"").await;
        self.server = address.split('"').next().unwrap().parse().unwrap();
        "verify.example".clone_into(&mut self.host);
        self.tell("redacted", "verified").await;
        // The other of the two secrets is known as well.
        let secret = SecretString::from(webhook_secret("webhooktwo"));
        let body = "{\"object\":\"event\",\"id\":\"evt_PlainMarkerOther\",\"type\":\"a.b\"}";
        let right = signature::sign(body.as_bytes(), &secret, Clock::system().unix());
        let heard = self
            .ask("POST /webhook", &[("Stripe-Signature", &right)], body)
            .await;
        assert_eq!(heard.status(), 200);
        self.hear_nonsense().await;
        self.be_a_stranger().await;
        let database = variables.iter().find(|(name, _)| *name == "DATABASE_URL");
        self.come_by_a_link(database.unwrap().1).await;
        let told = "\"metrics are served\",\"address\":\"";
        self.scrape(&mut program, told, "route=\"/start/{token}\"")
            .await;
        self.end(program, &["sqlx", "/start/{token}"]).await;
    }

    /// Somebody comes by a link, and somebody else is signed in already: both with a canary for a token.
    async fn come_by_a_link(&mut self, database: &str) {
        let pool = PgPool::connect(database).await.unwrap();
        let (link, cookie) = (token("requestlink"), token("requestsession"));
        plant_tokens(&pool, &link, &cookie).await;
        let html = ("Accept", "text/html");
        let own = ("Sec-Fetch-Site", "same-origin");
        let mark = format!("__Host-verigate-mark={}", token("requestmark"));
        let mark = ("Cookie", &*mark);
        for (line, headers, status) in [
            (format!("GET /start/{link}"), vec![html], 200),
            (format!("HEAD /start/{link}"), vec![html], 200),
            (format!("PUT /start/{link}"), vec![html], 405),
            (format!("POST /start/{link}"), vec![html], 403),
            (format!("POST /start/{link}"), vec![html, own, mark], 303),
            (format!("POST /start/{link}"), vec![html, own], 410),
            (format!("GET /start/{link}"), vec![html], 410),
            (format!("GET /start/{link}/{link}"), vec![html], 404),
        ] {
            let answer = self.ask(&line, &headers, "").await;
            assert_eq!(answer.status(), status, "{line}: {}", answer.0);
        }
        let cookie = format!("__Host-verigate={cookie}");
        let cookie = ("Cookie", &*cookie);
        for (line, headers, status) in [
            ("GET /verify", vec![html, cookie], 200),
            ("GET /status", vec![cookie], 200),
            ("GET /submitted", vec![html, cookie], 200),
            ("POST /sign-out", vec![html, cookie], 403),
            ("POST /sign-out", vec![html, cookie, own], 303),
            ("GET /verify", vec![html, cookie], 401),
        ] {
            let answer = self.ask_plainly(line, &headers).await;
            assert_eq!(answer.status(), status, "{line}: {}", answer.0);
        }
    }

    /// What commands say, when all is well and when nothing is.
    fn command(
        &mut self,
        arguments: &[&str],
        variables: &[(&str, &str)],
        folder: &std::path::Path,
        succeeds: bool,
    ) {
        let output = run(arguments, variables, folder);
        let said = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(output.status.success(), succeeds, "{arguments:?}: {said:?}");
        assert!(!said.concat().is_empty(), "{arguments:?}");
        self.out.push((arguments.join(" "), said.concat()));
    }
}

/// A canary that can be a token.
fn token(name: &str) -> String {
    format!("{:-<43}", canary(name))
}

/// A link and a browser's session of these tokens, kept as the server keeps its own.
async fn plant_tokens(pool: &PgPool, link: &str, cookie: &str) {
    use verigate::domain::Token;
    let hash = |text: &str| Token::parse(text).unwrap().hash().as_bytes().to_vec();
    sqlx::query(
        "INSERT INTO api_keys (id, name, token_hash, livemode, scopes) \
         VALUES (gen_random_uuid(), 'PlainMarkerKey', '', false, '{}')",
    )
    .execute(pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO hand_offs (id, api_key_id, user_id, livemode, token_hash, policy, label, expires_at) \
         SELECT gen_random_uuid(), k.id, u.id, false, $1, 'default', 'PlainMarkerLabel', now() + interval '1 hour' \
         FROM api_keys k, users u",
    )
    .bind(hash(link))
    .execute(pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO browser_sessions (id, token_hash, user_id, livemode, source, expires_at) \
         SELECT gen_random_uuid(), $1, id, false, 'hand_off', now() + interval '1 hour' FROM users",
    )
    .bind(hash(cookie))
    .execute(pool)
    .await
    .unwrap();
}

/// Every row of every table, as text.
async fn dump(pool: &PgPool) -> Vec<(String, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables \
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut dumped = Vec::new();
    for table in tables {
        let rows = AssertSqlSafe(format!(
            "SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t"
        ));
        let rows: String = sqlx::query_scalar(rows).fetch_one(pool).await.unwrap();
        dumped.push((table, rows));
    }
    dumped
}

/// Files below the folder that hold this text: data, the log of changes, and Postgres' own log.
fn files_with(text: &str, folder: &std::path::Path) -> String {
    let found = Command::new("grep")
        .args(["-r", "-a", "-i", "-l", "-F", text])
        .arg(folder)
        .output()
        .unwrap();
    assert!(
        found.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    String::from_utf8(found.stdout).unwrap()
}

async fn look_into_the_database(postgres: &OwnPostgres, walk: &mut Walk) {
    let pool = PgPool::connect(postgres.url()).await.unwrap();
    let tables = dump(&pool).await;
    let rows = |table: &str| &tables.iter().find(|(name, _)| name == table).unwrap().1;
    for (table, marker) in [
        ("public.users", "demo"),
        ("public.hand_offs", "PlainMarkerLabel"),
        ("public.browser_sessions", "hand_off"),
        ("public.verifications", SESSION),
        ("public.verification_history", "evt_PlainMarker"),
        ("public.verification_reports", "vr_PlainMarker2"),
        ("public.stripe_events", "evt_PlainMarkerThin"),
    ] {
        let named = rows(table).contains(marker);
        assert!(named, "{table}: {}", rows(table));
    }
    walk.out.extend(tables);
    let (files, marked) = (
        files_with(MARK, postgres.folder()),
        files_with(SESSION, postgres.folder()),
    );
    assert!(
        !marked.is_empty(),
        "the search of the files finds what is there"
    );
    assert!(
        files.is_empty(),
        "the database's files hold a canary: {files}"
    );
}

/// Everything that went in: what was set, what the server was sent and answered, and what Stripe told it.
fn planted(walk: &Walk, settings: &[(&str, String)]) -> BTreeSet<String> {
    let set = settings.iter().map(|(_, value)| value.as_str());
    let told = walk.stripe.state.lock().unwrap().answered.clone();
    let texts = set.chain([&*walk.sent, &told]);
    let planted: BTreeSet<String> = texts.flat_map(canaries_in).collect();
    let personal = ["api", "hook"].map(|source| PERSONAL.map(|name| format!("{source}{name}")));
    let personal = personal.as_flattened().iter().map(String::as_str);
    for name in personal.chain(HANDED_OUT.map(|(name, _)| name)) {
        assert!(planted.contains(name), "{name} was not planted");
    }
    assert!(planted.len() >= 150, "{} canaries", planted.len());
    planted
}

/// What came out to whom it may, and what came out elsewhere.
fn seen(walk: &Walk) -> (BTreeSet<(String, Place)>, Vec<String>) {
    let mut leaks = Vec::new();
    for (place, text) in &walk.out {
        let found = canaries_in(text).into_iter();
        leaks.extend(found.map(|name| format!("{name} in {place}")));
    }
    let mut seen = BTreeSet::new();
    for (place, text) in &walk.allowed {
        let found = canaries_in(text).into_iter();
        seen.extend(found.map(|name| (name, *place)));
    }
    let calls = walk.stripe.state.lock().unwrap().asked.join("\n");
    for line in calls.lines() {
        let found = canaries_in(line).into_iter();
        if line.starts_with("authorization: Bearer ") {
            seen.extend(found.map(|name| (name, Place::StripeAuthorization)));
        } else {
            leaks.extend(found.map(|name| format!("{name} in what Stripe is sent")));
        }
    }
    (seen, leaks)
}

fn judge(walk: &Walk, settings: &[(&str, String)]) {
    let planted = planted(walk, settings);
    let (seen, mut leaks) = seen(walk);
    let may = [&HANDED_OUT[..], &SHARED].concat();
    for (name, place) in &seen {
        if !may.contains(&(name, *place)) {
            leaks.push(format!("{name} in {place:?}"));
        }
    }
    assert!(
        leaks.is_empty(),
        "of {} canaries these came out: {leaks:#?}",
        planted.len()
    );
    for (name, place) in HANDED_OUT {
        let came = seen.contains(&(name.to_owned(), place));
        assert!(came, "{name} never came to {place:?}");
    }
}

impl Walk {
    fn begin(server: SocketAddr, stripe: FakeStripe) -> Self {
        Self {
            server,
            host: format!("localhost:{}", server.port()),
            stripe,
            sent: String::new(),
            out: Vec::new(),
            allowed: Vec::new(),
            request_ids: Vec::new(),
            events: 0,
        }
    }

    /// What the server reads when it starts: what happened while it was not there.
    async fn be_healed(&mut self, database: &str) {
        let pool = PgPool::connect(database).await.unwrap();
        let healed =
            "SELECT EXISTS (SELECT FROM healing h JOIN verifications v ON v.session_id = $1
                      WHERE (h.report ->> 'strangers')::integer = 1)";
        eventually("what was missed is found", async || {
            let healed = sqlx::query_scalar(healed).bind(MISSED);
            let healed: bool = healed.fetch_one(&pool).await.unwrap();
            healed.then_some(())
        })
        .await;
        let mut stripe = self.stripe.state.lock().unwrap();
        stripe.answers.retain(|to, _| ![EVENTS, LIST].contains(to));
    }

    /// A whole life of one person, with everything that can go wrong on the way.
    async fn live(&mut self) {
        self.see_the_pages().await;
        self.start_in_every_way().await;
        self.start_in_vain().await;
        self.tell("processing", "processing").await;
        self.see_the_pages().await;
        self.tell("requires_input", "requires_input").await;
        self.see_the_pages().await;
        self.hear_nonsense().await;
        self.be_a_stranger().await;
        self.tell("verified", "verified").await;
        let status = self.ask("GET /status", &[], "").await;
        assert_eq!(status.json()["status"], "verified");
        let line = "POST /create-verification-session";
        let done = self.ask(line, &[], "").await;
        assert_eq!(done.status(), 409, "{}", done.0);
        self.see_the_pages().await;
        let stream = [("Accept", "text/event-stream")];
        self.ask("GET /status/stream", &stream, "").await;
    }
}

#[tokio::test]
async fn no_secret_and_nothing_about_a_person_comes_out_anywhere_else() {
    let (postgres, stripe) = (OwnPostgres::start().await, FakeStripe::start().await);
    let place = working_folder();
    let folder = place.path();
    let settings = secrets(postgres.url(), stripe.address);
    let mut variables = SERVER.to_vec();
    variables.extend(settings.iter().map(|(name, value)| (*name, value.as_str())));

    miss_some(&stripe);
    let mut program = Program::start(&["dev"], &variables, folder);
    let mut walk = Walk::begin(program.greeted().await, stripe);
    walk.be_healed(&settings[0].1).await;
    walk.live().await;
    let known = "verigate_webhook_deliveries_total";
    walk.scrape(&mut program, "metrics are served address=", known)
        .await;
    let libraries = ["sqlx", "TRACE hyper_util", "TRACE reqwest"];
    walk.end(program, &libraries).await;

    for arguments in [&["explain", "demo"][..], &["explain", SESSION, "--json"]] {
        walk.command(arguments, &variables, folder, true);
    }
    walk.command(&["migrate"], &variables, folder, true);
    walk.serve(&variables, folder).await;

    let password = canary("databasepassword");
    let nowhere = format!("postgres://verigate:{password}@127.0.0.1:1/nowhere");
    variables.push(("DATABASE_URL", &nowhere));
    for arguments in [&["dev"][..], &["migrate"], &["explain", "demo"]] {
        walk.command(arguments, &variables, folder, false);
    }
    look_into_the_database(&postgres, &mut walk).await;
    judge(&walk, &settings);
}
