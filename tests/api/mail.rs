//! People are told by e-mail, through a real mail server, whatever that does.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
};
use uuid::Uuid;
use verigate::{domain, http::gallery};

use crate::{
    clients::install_from_pypi,
    deliveries::Delivery,
    observe::insert_attempt,
    process::{Process, delivery},
    program,
    server::unanswered,
    support::eventually,
    world::{Gateway, World, http_client, read},
};

const NOW: i64 = 1_790_000_000;
const FROM: (&str, &str) = ("MAIL_FROM", "Acme <no-reply@acme.example>");

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn certificate(name: &str) -> String {
    let path = tests().join("fixtures/smtp").join(name);
    path.to_str().unwrap().to_owned()
}

/// A mail as the server was given it and Python's `email` reads it.
#[derive(Clone, Debug)]
struct Mail(Value);

impl Mail {
    fn header(&self, name: &str) -> &str {
        let all = self.0["headers"].as_array().unwrap();
        let mut found = all.iter().filter(|header| header[0] == name);
        let value = found.next().unwrap_or_else(|| panic!("{name} in {self:?}"));
        assert!(found.next().is_none(), "{name} stands once");
        value[1].as_str().unwrap()
    }

    /// What it says, as text and as HTML.
    fn says(&self) -> (&str, &str) {
        assert_eq!(self.0["type"], "multipart/alternative");
        assert_eq!(self.0["defects"], serde_json::json!([]));
        let parts = self.0["parts"].as_array().unwrap();
        let kinds: Vec<_> = parts.iter().map(|part| &part[0]).collect();
        assert_eq!(kinds, ["text/plain", "text/html"]);
        (parts[0][1].as_str().unwrap(), parts[1][1].as_str().unwrap())
    }

    fn to(&self) -> &str {
        let to = self.0["to"].as_array().unwrap();
        assert_eq!(to.len(), 1);
        to[0].as_str().unwrap()
    }
}

/// `aiosmtpd`, in a process of its own.
struct MailServer {
    port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
    _process: Child,
}

impl MailServer {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// One that speaks nothing but TLS.
    async fn encrypted() -> Self {
        let (certificate, key) = (certificate("server.pem"), certificate("server.key"));
        Self::with(&["--tls", &certificate, &key]).await
    }

    async fn with(arguments: &[&str]) -> Self {
        let programs = install_from_pypi("mail.txt", ".venv-mail").await;
        let mut process = Command::new(programs.join("python"))
            .arg("mail_server.py")
            .args(arguments)
            .current_dir(tests().join("clients"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = said.next_line().await.unwrap().unwrap();
        let first: Value = serde_json::from_str(&first).unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        tokio::spawn(async move {
            while let Some(line) = said.next_line().await.unwrap() {
                let mail = serde_json::from_str(&line).unwrap();
                kept.lock().unwrap().push(Mail(mail));
            }
        });
        Self {
            port: first["port"].as_u64().unwrap().try_into().unwrap(),
            mails,
            _process: process,
        }
    }

    /// One that wants STARTTLS and this password.
    async fn guarded() -> Self {
        let (certificate, key) = (certificate("server.pem"), certificate("server.key"));
        Self::with(&[&certificate, &key, "me@acme.example", "hunter/2"]).await
    }

    fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// Waits for so many, and no more.
    async fn gets(&self, many: usize) -> Vec<Mail> {
        eventually("mail comes", async || {
            Some(self.mails()).filter(|mails| mails.len() >= many)
        })
        .await;
        let mails = self.mails();
        assert_eq!(mails.len(), many, "{mails:#?}");
        mails
    }
}

/// A server that mails, before a database and a sandbox of its own.
struct Scene {
    world: World,
    gateway: Gateway,
}

impl Scene {
    async fn mailing(server: &MailServer) -> Self {
        Self::with(&server.url(), &[]).await
    }

    async fn with(url: &str, settings: &[(&str, &str)]) -> Self {
        let world = World::new().await;
        let settings = [&[("SMTP_URL", url), FROM], settings].concat();
        let gateway = Gateway::with(&world.db, &world.sandbox.base, &settings).await;
        Self { world, gateway }
    }

    fn pool(&self) -> &PgPool {
        self.world.db.pool()
    }

    /// Somebody with an open attempt, whose address is known, or not.
    async fn person(&self, name: &str, email: Option<&str>) -> String {
        let attempt = insert_attempt(self.pool(), name).await.to_string();
        self.address(name, email).await;
        attempt
    }

    async fn address(&self, name: &str, email: Option<&str>) {
        set_address(self.pool(), name, email).await;
    }

    async fn hear(&self, delivery: Delivery) {
        self.gateway.verifier.hear(&delivery.read()).await.unwrap();
    }

    /// The attempt's session, after so many seconds.
    async fn becomes(&self, attempt: &str, kind: &str, after: i64) {
        self.hear(event(attempt, kind, after)).await;
    }

    async fn fails(&self, attempt: &str, code: &str, after: i64) {
        let failed = event(attempt, "requires_input", after).failed(code, &format!("vr_{after}"));
        self.hear(failed).await;
    }

    /// How the only mail failed that did, how often, and whether it was given up.
    async fn failure(&self) -> (String, i32, bool) {
        eventually("a mail fails", async || {
            sqlx::query_as(
                "SELECT failure, tries, dead_at IS NOT NULL FROM outbox_deliveries WHERE failure IS NOT NULL",
            )
            .fetch_optional(self.pool())
            .await
            .unwrap()
        })
        .await
    }

    /// Nothing waits any longer before it is tried again.
    async fn hurry(&self) {
        let hurry = "UPDATE outbox_deliveries SET due_at = now() WHERE dead_at IS NULL";
        sqlx::query(hurry).execute(self.pool()).await.unwrap();
    }

    /// Everything was told, or found not worth telling.
    async fn is_done(&self) {
        let waiting = "SELECT count(*) FROM outbox_deliveries WHERE dead_at IS NULL";
        becomes_none(self.pool(), "everything is told", waiting).await;
    }

    /// How the only mail fails that somebody with this address is sent.
    async fn fate(&self, email: &str) -> (String, bool) {
        let attempt = self.person("ada", Some(email)).await;
        self.becomes(&attempt, "verified", 1).await;
        let (failure, tries, dead) = self.failure().await;
        assert_eq!(tries, 1);
        (failure, dead)
    }
}

async fn set_address(pool: &PgPool, name: &str, email: Option<&str>) {
    sqlx::query("UPDATE users SET email = $2 WHERE external_id = $1")
        .bind(name)
        .bind(email)
        .execute(pool)
        .await
        .unwrap();
}

async fn becomes_none(pool: &PgPool, what: &str, count: &'static str) {
    eventually(what, async || {
        let count: i64 = sqlx::query_scalar(count).fetch_one(pool).await.unwrap();
        (count == 0).then_some(())
    })
    .await;
}

/// To a server in a process of its own: this attempt is verified.
async fn deliver_verified(process: &Process, attempt: &str) {
    let verified: Value = serde_json::from_slice(&event(attempt, "verified", 1).body()).unwrap();
    assert_eq!(process.deliver(&verified).await, Some(StatusCode::OK));
}

fn event(attempt: &str, kind: &str, after: i64) -> Delivery {
    let short = &attempt[..8];
    let id = format!("evt_{short}_{after}");
    Delivery::new(&id, kind, NOW + after, &format!("vs_{short}")).of_attempt(attempt)
}

/// The heading of a page in this state.
fn heading(state: &str) -> String {
    let pages = gallery::pages().unwrap();
    let page = &pages.iter().find(|(name, _)| name == state).unwrap().1;
    let (_, rest) = page.split_once("<h1 tabindex=\"-1\">").unwrap();
    rest.split_once("</h1>").unwrap().0.to_owned()
}

#[tokio::test]
async fn who_is_verified_is_told_so_in_text_and_in_html() {
    let server = MailServer::start().await;
    let scene = Scene::mailing(&server).await;
    let ada = scene.person("ada", Some("ada@acme.example")).await;
    scene.becomes(&ada, "created", 1).await;
    scene.becomes(&ada, "processing", 2).await;
    scene.becomes(&ada, "verified", 3).await;
    scene.is_done().await;
    let mail = &server.gets(1).await[0];
    let told: Uuid =
        sqlx::query_scalar("SELECT id FROM outbox WHERE type = 'verification.verified'")
            .fetch_one(scene.pool())
            .await
            .unwrap();
    let id = format!("<msg_{}@127.0.0.1>", told.simple());
    assert_eq!(mail.header("Message-ID"), id);
    assert_eq!(mail.header("From"), "Acme <no-reply@acme.example>");
    assert_eq!(mail.header("To"), "ada@acme.example");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Date").ends_with("+0000"));
    assert_eq!(
        (mail.0["from"].as_str(), mail.to()),
        (Some("no-reply@acme.example"), "ada@acme.example")
    );
    let (text, html) = mail.says();
    let heading = heading("verified");
    assert_eq!(mail.header("Subject"), format!("{heading} – Acme"));
    for said in [text, html] {
        for words in [
            heading.as_str(),
            "nothing more to do",
            "https://example.com/help",
            "Test mode",
            "Acme",
        ] {
            assert!(said.contains(words), "{words} in {said}");
        }
        for never in [
            "vs_", "vr_", "evt_", "msg_", "token", "ada", "<script", "<img", "{{",
        ] {
            assert!(!said.contains(never), "{never} in {said}");
        }
    }
    assert!(
        !text.contains('<') && html.starts_with("<!doctype html>"),
        "{text}"
    );
    assert!(
        mail.0["raw"]
            .as_str()
            .unwrap()
            .lines()
            .all(|line| line.len() <= 998)
    );
}

#[tokio::test]
async fn who_needs_another_try_is_told_why_and_what_helps_as_on_the_page() {
    let codes = [
        ("document_expired", true),
        ("selfie_face_mismatch", true),
        ("id_number_mismatch", true),
        ("a_code_of_tomorrow", true),
        ("under_supported_age", false),
        ("country_not_supported", false),
        ("selfie_manipulated", false),
    ];
    let provider = [
        ("OIDC_ISSUER", "https://id.example.com"),
        ("OIDC_CLIENT_ID", "verigate"),
        ("OIDC_CLIENT_SECRET", "secret"),
    ];
    for settings in [&[][..], &provider] {
        let server = MailServer::start().await;
        let scene = Scene::with(&server.url(), settings).await;
        for (code, _) in codes {
            let attempt = scene
                .person(code, Some(&format!("{code}@acme.example")))
                .await;
            scene.becomes(&attempt, "processing", 1).await;
            scene.fails(&attempt, code, 2).await;
        }
        scene.is_done().await;
        let mails = server.gets(codes.len()).await;
        // Who cannot sign in at the page is led back to the application.
        let (link, again) = match settings {
            [] => (
                "https://example.com/\"".to_owned(),
                "start again from there",
            ),
            _ => (format!("{}/verify\"", scene.gateway.origin), "Try again"),
        };
        for (code, can_retry) in codes {
            let to = format!("{code}@acme.example");
            let mail = mails.iter().find(|mail| mail.to() == to).unwrap();
            let advice = domain::advice(Some(code));
            assert_eq!(mail.header("Subject"), format!("{} – Acme", advice.heading));
            let (text, html) = mail.says();
            let html = html.replace("&#39;", "'");
            for said in [text, &html] {
                let words = [
                    advice.heading,
                    &advice.reason,
                    &advice.tips[0],
                    &advice.tips[1],
                ];
                for words in words {
                    assert!(said.contains(words), "{words} in {said}");
                }
                assert_eq!(said.contains(again), can_retry, "{said}");
                assert!(said.contains("https://example.com/other-way"), "{said}");
            }
            assert!(html.contains(&link), "{link} in {html}");
        }
    }
}

#[tokio::test]
async fn who_has_no_try_left_is_still_told_why_the_last_one_failed() {
    let server = MailServer::start().await;
    let why = "The date until which it is valid has passed.";
    for (limit, heading) in [
        ("ATTEMPTS_PER_DAY", "You have used today’s tries"),
        ("ATTEMPTS_IN_TOTAL", "You have used all your tries"),
    ] {
        let scene = Scene::with(&server.url(), &[(limit, "1")]).await;
        for (code, heading, why) in [
            ("document_expired", heading, why),
            // For whom another try cannot help, it does not matter how many there are.
            ("under_supported_age", "This check has an age limit", "age"),
        ] {
            let to = format!("{code}-{}@acme.example", limit.to_lowercase());
            let attempt = scene.person(code, Some(&to)).await;
            scene.fails(&attempt, code, 1).await;
            let mail = eventually("the mail comes", async || {
                server.mails().into_iter().find(|mail| mail.to() == to)
            })
            .await;
            assert_eq!(mail.header("Subject"), format!("{heading} – Acme"));
            let (text, html) = mail.says();
            for said in [text, html] {
                assert!(said.contains(why), "{why} in {said}");
            }
        }
    }
}

#[tokio::test]
async fn who_has_no_address_or_handed_nothing_in_is_told_nothing() {
    let server = MailServer::start().await;
    let scene = Scene::mailing(&server).await;
    let nobody = scene.person("nobody", None).await;
    scene.becomes(&nobody, "verified", 1).await;
    for code in [
        "abandoned",
        "session_cancelled",
        "consent_declined",
        "device_not_supported",
        "device_unsupported",
    ] {
        let attempt = scene.person(code, Some("ada@acme.example")).await;
        scene.fails(&attempt, code, 1).await;
    }
    let other = scene.person("other", Some("ada@acme.example")).await;
    for (after, kind) in [(1, "created"), (2, "processing"), (3, "canceled")] {
        scene.becomes(&other, kind, after).await;
    }
    scene.is_done().await;
    assert!(server.mails().is_empty(), "{:#?}", server.mails());
    // Else nobody would have been told anyway.
    let eve = scene.person("eve", Some("eve@acme.example")).await;
    scene.becomes(&eve, "verified", 1).await;
    assert_eq!(server.gets(1).await[0].to(), "eve@acme.example");
}

#[tokio::test]
async fn a_storm_of_duplicates_is_one_mail() {
    let server = MailServer::start().await;
    let scene = Scene::mailing(&server).await;
    let ada = scene.person("ada", Some("ada@acme.example")).await;
    let verified: Value = serde_json::from_slice(&event(&ada, "verified", 1).body()).unwrap();
    let http = http_client();
    let storm = (0..100).map(|_| delivery(&http, &scene.gateway.origin, &verified).send());
    for answer in futures_util::future::join_all(storm).await {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    // The same once more, by another name.
    let again = event(&ada, "verified", 1).with("id", "evt_again".into());
    scene.hear(again).await;
    scene.is_done().await;
    server.gets(1).await;
}

#[tokio::test]
async fn what_is_true_no_longer_is_told_to_nobody() {
    let server = MailServer::start().await;
    let scene = Scene::mailing(&server).await;
    // None of these is told in time.
    let tries = scene.person("tries", Some("busy@acme.example")).await;
    scene.fails(&tries, "document_expired", 10).await;
    let passes = scene.person("passes", Some("busy@acme.example")).await;
    scene.fails(&passes, "document_expired", 10).await;
    let erased = scene.person("erased", Some("busy@acme.example")).await;
    scene.becomes(&erased, "verified", 10).await;
    let closed = scene.person("closed", Some("busy@acme.example")).await;
    scene.fails(&closed, "document_expired", 10).await;
    let failed = "SELECT count(*) FROM outbox_deliveries WHERE failure = 'answered_451'";
    eventually("all four are told to come later", async || {
        let failed: i64 = sqlx::query_scalar(failed)
            .fetch_one(scene.pool())
            .await
            .unwrap();
        (failed == 4).then_some(())
    })
    .await;
    scene.becomes(&tries, "processing", 20).await;
    scene.becomes(&passes, "verified", 20).await;
    let redaction = serde_json::json!({"status": "redacted"});
    scene
        .hear(event(&erased, "redacted", 20).session("redaction", redaction))
        .await;
    scene.becomes(&closed, "canceled", 20).await;
    for name in ["tries", "passes", "erased", "closed"] {
        scene
            .address(name, Some(&format!("{name}@acme.example")))
            .await;
    }
    scene.hurry().await;
    scene.is_done().await;
    let mails = server.gets(1).await;
    assert_eq!(mails[0].to(), "passes@acme.example");
    assert!(mails[0].says().0.contains(&heading("verified")));
}

#[tokio::test]
async fn somebody_who_has_begun_anew_is_not_asked_to_and_one_who_forgot_is_not_told_twice() {
    let server = MailServer::start().await;
    let scene = Scene::mailing(&server).await;
    let ada = scene.person("ada", Some("busy@acme.example")).await;
    scene.becomes(&ada, "verified", 10).await;
    assert_eq!(scene.failure().await.0, "answered_451");
    // A reviewer changes their mind, and again, each time as Stripe says on asking.
    scene.fails(&ada, "document_expired", 20).await;
    scene.becomes(&ada, "verified", 30).await;
    scene.address("ada", Some("ada@acme.example")).await;
    scene.hurry().await;
    scene.is_done().await;
    assert!(
        server.gets(1).await[0]
            .says()
            .0
            .contains(&heading("verified"))
    );
}

#[tokio::test]
async fn a_status_that_is_in_doubt_is_told_when_it_is_settled() {
    let server = MailServer::start().await;
    let scene = Scene::mailing(&server).await;
    let ada = scene.person("ada", Some("busy@acme.example")).await;
    scene.fails(&ada, "document_expired", 10).await;
    assert_eq!(scene.failure().await.0, "answered_451");
    let doubt = |doubtful: &'static str| sqlx::query(doubtful).execute(scene.pool());
    doubt("UPDATE verifications SET doubt_since = now()")
        .await
        .unwrap();
    scene.address("ada", Some("ada@acme.example")).await;
    scene.hurry().await;
    eventually("it is in doubt", async || {
        (scene.failure().await == ("in_doubt".to_owned(), 2, false)).then_some(())
    })
    .await;
    assert!(server.mails().is_empty());
    doubt("UPDATE verifications SET doubt_since = NULL")
        .await
        .unwrap();
    scene.hurry().await;
    scene.is_done().await;
    server.gets(1).await;
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_and_sent_the_same_mail() {
    let server = MailServer::start().await;
    let scene = Scene::mailing(&server).await;
    let fate = scene.fate("once@acme.example").await;
    assert_eq!(fate, ("answered_451".to_owned(), false));
    scene.hurry().await;
    scene.is_done().await;
    server.gets(1).await;
}

#[tokio::test]
async fn what_a_server_refuses_for_good_is_given_up_and_can_be_sent_once_more() {
    for (name, failure) in [
        ("unknown", "refused_550"),
        ("nobody", "refused_550"),
        ("full", "refused_552"),
    ] {
        let server = MailServer::start().await;
        let scene = Scene::mailing(&server).await;
        let fate = scene.fate(&format!("{name}@acme.example")).await;
        assert_eq!(fate, (failure.to_owned(), true));
        assert!(server.mails().is_empty());
        // The person has another address now.
        scene.address("ada", Some("ada@acme.example")).await;
        let told: Uuid = sqlx::query_scalar("SELECT message_id FROM outbox_deliveries")
            .fetch_one(scene.pool())
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let message = format!("msg_{}", told.simple());
        let words = ["messages", "replay", "--endpoint", "mail", &message];
        let database = [("DATABASE_URL", scene.world.db.url())];
        let done = program::run(&words, &database, folder.path());
        assert!(done.status.success(), "{done:?}");
        assert_eq!(server.gets(1).await[0].to(), "ada@acme.example");
        scene.is_done().await;
    }
}

#[tokio::test]
async fn a_refusal_that_is_not_of_the_address_is_tried_again() {
    for (name, failure) in [
        ("blocked", "answered_550"),
        ("quota", "answered_550"),
        ("unwanted", "answered_554"),
    ] {
        let server = MailServer::start().await;
        let scene = Scene::mailing(&server).await;
        let fate = scene.fate(&format!("{name}@acme.example")).await;
        assert_eq!(fate, (failure.to_owned(), false));
    }
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_nobody_else() {
    let server = MailServer::start().await;
    let scene = Scene::mailing(&server).await;
    let ada = scene.person("ada", Some("hangs@acme.example")).await;
    scene.becomes(&ada, "verified", 1).await;
    eventually("the mail is in hand", async || {
        let claimed = "SELECT 1 FROM outbox_deliveries WHERE claimed_by IS NOT NULL";
        sqlx::query(claimed)
            .fetch_optional(scene.pool())
            .await
            .unwrap()
    })
    .await;
    let eve = scene.person("eve", Some("eve@acme.example")).await;
    scene.becomes(&eve, "verified", 1).await;
    assert_eq!(server.gets(1).await[0].to(), "eve@acme.example");
    let failed: i64 = sqlx::query_scalar("SELECT count(failure) FROM outbox_deliveries")
        .fetch_one(scene.pool())
        .await
        .unwrap();
    assert_eq!(failed, 0, "the first one still hangs");
    assert_eq!(scene.failure().await, ("timed_out".to_owned(), 1, false));
}

#[tokio::test]
async fn a_server_that_hangs_up_is_asked_again_later() {
    let server = MailServer::start().await;
    let scene = Scene::mailing(&server).await;
    let fate = scene.fate("closes@acme.example").await;
    assert_eq!(fate, ("broken_off".to_owned(), false));
}

#[tokio::test]
async fn a_mail_in_the_hand_of_a_server_that_dies_is_sent_by_another_one() {
    let server = MailServer::start().await;
    let world = World::new().await;
    let url = server.url();
    let settings = [("SMTP_URL", url.as_str()), FROM];
    let first = Process::start_with(&world, &settings).await;
    let pool = world.db.pool();
    let attempt = insert_attempt(pool, "ada").await.to_string();
    set_address(pool, "ada", Some("hangs@acme.example")).await;
    deliver_verified(&first, &attempt).await;
    // Its time would not free it before tomorrow.
    let hold = "UPDATE outbox_deliveries SET claimed_until = now() + interval '1 day' WHERE claimed_by IS NOT NULL";
    eventually("the mail is in hand", async || {
        let done = sqlx::query(hold).execute(pool).await.unwrap();
        (done.rows_affected() == 1).then_some(())
    })
    .await;
    first.kill().await;
    set_address(pool, "ada", Some("ada@acme.example")).await;
    let _second = Process::start_with(&world, &settings).await;
    let mail = server.gets(1).await.remove(0);
    assert_eq!(mail.to(), "ada@acme.example");
    becomes_none(
        pool,
        "it is told once",
        "SELECT count(*) FROM outbox_deliveries",
    )
    .await;
    server.gets(1).await;
}

#[tokio::test]
async fn what_is_no_mail_server_is_asked_again_later() {
    for (greeting, failure) in [
        ("", "broken_off"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "broken_off"),
        ("421 mail.test is going down\r\n", "answered_421"),
        ("554 mail.test does not like you\r\n", "answered_554"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut line, _)) = listener.accept().await {
                let _ = line.write_all(greeting.as_bytes()).await;
            }
        });
        let scene = Scene::with(&format!("smtp://127.0.0.1:{port}"), &[]).await;
        let fate = scene.fate("ada@acme.example").await;
        assert_eq!(fate, (failure.to_owned(), false), "{greeting}");
    }
    let (_nobody, address) = unanswered();
    let scene = Scene::with(&format!("smtp://{address}"), &[]).await;
    let fate = scene.fate("ada@acme.example").await;
    assert_eq!(fate, ("unreachable".to_owned(), false));
}

#[tokio::test]
async fn nothing_in_an_address_becomes_a_header_or_a_command() {
    let server = MailServer::start().await;
    let scene = Scene::mailing(&server).await;
    let tricks = [
        "ada@acme.example\r\nBcc: eve@acme.example",
        "ada@acme.example>\r\nRCPT TO:<eve@acme.example",
        "ada@acme.example\r\n\r\nAnother body",
        "\"ada\r\nSubject: mine\"@acme.example",
        "ada@acme.example, eve@acme.example",
        "Ada <ada@acme.example>",
        "ada\u{2028}@acme.example",
        "ädä@acme.example",
        "nobody",
        "",
    ];
    for (n, trick) in tricks.into_iter().enumerate() {
        let attempt = scene.person(&format!("p{n}"), Some(trick)).await;
        scene.becomes(&attempt, "verified", 1).await;
    }
    let fine = scene.person("fine", Some("fine@bücher.example")).await;
    scene.becomes(&fine, "verified", 1).await;
    scene.is_done().await;
    let mails = server.gets(1).await;
    assert_eq!(mails[0].to(), "fine@xn--bcher-kva.example");
    let dead = "SELECT failure FROM outbox_deliveries WHERE dead_at IS NOT NULL";
    let dead: Vec<String> = sqlx::query_scalar(dead)
        .fetch_all(scene.pool())
        .await
        .unwrap();
    assert_eq!(dead, ["unusable_address"; 10]);
}

#[tokio::test]
async fn a_password_is_only_told_to_a_server_that_can_be_trusted() {
    let server = MailServer::guarded().await;
    let url = |password: &str| {
        format!(
            "smtp://me%40acme.example:{password}@127.0.0.1:{}",
            server.port
        )
    };
    let authority = certificate("authority.pem");
    let trusting = ("SMTP_CA_FILE", authority.as_str());
    let scene = Scene::with(&url("hunter%2f2"), &[trusting]).await;
    let ada = scene.person("ada", Some("ada@acme.example")).await;
    scene.becomes(&ada, "verified", 1).await;
    let mail = &server.gets(1).await[0];
    assert_eq!(mail.0["tls"], true);
    assert_eq!(mail.0["user"], "me@acme.example");

    let scene = Scene::with(&url("wrong"), &[trusting]).await;
    let fate = scene.fate("ada@acme.example").await;
    assert_eq!(fate, ("sign_in_refused".to_owned(), false));

    // Whoever vouches for it is somebody else.
    let other = certificate("server.pem");
    let scene = Scene::with(&url("hunter%2f2"), &[("SMTP_CA_FILE", &other)]).await;
    let fate = scene.fate("ada@acme.example").await;
    assert_eq!(fate, ("no_trusted_tls".to_owned(), false));

    // Somebody on the way has taken STARTTLS out of what it offers.
    let plain = MailServer::start().await;
    let url = format!("smtp://me:hunter2@127.0.0.1:{}", plain.port);
    let scene = Scene::with(&url, &[trusting]).await;
    let fate = scene.fate("ada@acme.example").await;
    assert_eq!(fate, ("no_trusted_tls".to_owned(), false));
    assert!(plain.mails().is_empty());
    server.gets(1).await;
}

#[tokio::test]
async fn a_server_may_speak_tls_from_the_first_byte() {
    let server = MailServer::encrypted().await;
    let authority = certificate("authority.pem");
    let trusting = ("SMTP_CA_FILE", authority.as_str());
    let url = format!("smtps://localhost:{}", server.port);
    let scene = Scene::with(&url, &[trusting]).await;
    let ada = scene.person("ada", Some("ada@acme.example")).await;
    scene.becomes(&ada, "verified", 1).await;
    server.gets(1).await;
    let scene = Scene::with(&url, &[]).await;
    let fate = scene.fate("ada@acme.example").await;
    assert_eq!(fate, ("no_trusted_tls".to_owned(), false));
    server.gets(1).await;
}

#[tokio::test]
async fn the_page_promises_a_mail_only_to_whom_one_can_be_sent() {
    let server = MailServer::start().await;
    let promise = "the result is kept and e-mailed to you";
    for (mailing, email, promised) in [
        (true, Some("ada@acme.example"), true),
        (true, None, false),
        (false, Some("ada@acme.example"), false),
    ] {
        let world = World::new().await;
        world.stop_the_clockwork().await;
        let url = server.url();
        let settings = [("SMTP_URL", url.as_str()), FROM];
        let settings = if mailing { &settings[..] } else { &[] };
        let gateway = Gateway::with(&world.db, &world.sandbox.base, settings).await;
        let scene = Scene { world, gateway };
        assert_eq!(scene.gateway.click().await.status(), StatusCode::OK);
        scene.address("demo", email).await;
        let session = scene.world.sessions().await[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let success = serde_json::json!({"case": "success_async"});
        scene.world.act(&session, "outcome", &success).await;
        for event in scene.world.events().await {
            scene.gateway.verifier.hear(&read(&event)).await.unwrap();
        }
        for path in ["/submitted", "/verify"] {
            let page = scene
                .gateway
                .http
                .get(format!("{}{path}", scene.gateway.origin));
            let page = page.header("accept", "text/html").send().await.unwrap();
            let page = page.text().await.unwrap();
            assert!(page.contains("We are checking your document"), "{page}");
            assert_eq!(page.contains(promise), promised, "{mailing} {email:?}");
        }
    }
}

/// Every row of every table but the one that may hold addresses.
async fn rows(pool: &PgPool) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name <> 'users'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 10);
    let mut rows = String::new();
    for table in tables {
        let query = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t");
        let found: String = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(pool)
            .await
            .unwrap();
        rows.push_str(&found);
    }
    rows
}

#[tokio::test]
async fn an_address_and_a_password_come_out_nowhere_else() {
    let server = MailServer::guarded().await;
    let world = World::new().await;
    let authority = certificate("authority.pem");
    let url = format!(
        "smtp://me%40acme.example:hunter%2f2@127.0.0.1:{}",
        server.port
    );
    let settings = [
        ("SMTP_URL", url.as_str()),
        ("SMTP_CA_FILE", &authority),
        FROM,
        ("RUST_LOG", "trace"),
    ];
    let process = Process::start_with(&world, &settings).await;
    let hosts = ["ada", "unknown", "unwanted", "once", "closes"];
    for name in hosts {
        let attempt = insert_attempt(world.db.pool(), name).await.to_string();
        let email = format!("{name}@zq7kcanary.example");
        set_address(world.db.pool(), name, Some(&email)).await;
        deliver_verified(&process, &attempt).await;
    }
    let unsettled = "SELECT count(*) FROM outbox_deliveries WHERE failure IS NULL";
    becomes_none(
        world.db.pool(),
        "every mail is sent or has failed",
        unsettled,
    )
    .await;
    assert_eq!(server.gets(1).await[0].to(), "ada@zq7kcanary.example");
    let rows = rows(world.db.pool()).await;
    let log = process.logged();
    for (place, text, known) in [
        ("a table", &rows, "refused_550"),
        ("the log", &log, "refused_550"),
    ] {
        assert!(text.contains(known), "{place} has {known}: {text}");
        let text = text.to_ascii_lowercase();
        for never in ["zq7kcanary", "hunter/2", "hunter%2f2", "aHVudGVyLzI"] {
            assert!(
                !text.contains(&never.to_ascii_lowercase()),
                "{place} has {never}"
            );
        }
    }
}
