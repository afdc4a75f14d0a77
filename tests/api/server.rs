//! The server under test: the real router over a database of its own, on a port of its own.

use std::{net::SocketAddr, sync::LazyLock, time::Duration};

use chrono::DateTime;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect::Policy};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use verigate::{
    clock::Clock,
    config::{Config, Mode},
    http::{AppState, Hub, Lifecycle, Parts, router, serve},
    store::{self, NetworkKey},
    stripe::{self, signature},
    verification::{Endpoints, Intake, Limits, Policies, Settings, Verifier},
};

use crate::{
    deliveries::Delivery,
    stripe::{FakeStripe, VERIFY_ORIGIN},
    support::{PATIENCE, database::TestDb},
};

/// The two secrets the server knows, as while one is rolled.
pub(crate) const SECRET: &str = "whsec_test_one";
pub(crate) const OTHER_SECRET: &str = "whsec_test_two";
/// The name under which the served one is known to the world.
pub(crate) const PUBLIC_HOST: &str = "verify.example";

/// What the server's clock shows, unless a test moves it.
pub(crate) const NOW: i64 = 1_800_000_000;

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let builder = Client::builder().redirect(Policy::none());
    builder.timeout(PATIENCE).build().unwrap()
});

/// A running server.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) stripe: FakeStripe,
    pub(crate) clock: Clock,
    pub(crate) life: Lifecycle,
    pub(crate) verifier: Verifier,
    pub(crate) db: Option<TestDb>,
    host: Option<&'static str>,
    tasks: Vec<JoinHandle<()>>,
}

impl TestServer {
    /// As in development: everybody is the demo user.
    pub(crate) async fn dev() -> Self {
        let db = TestDb::new().await;
        let url = db.url().to_owned();
        let mut server = Self::over(Mode::Dev, &url).await;
        server.db = Some(db);
        server
    }

    /// With settings of its own beside the usual ones.
    pub(crate) async fn configured(mode: Mode, own: &[(&str, &str)]) -> Self {
        let db = TestDb::new().await;
        let url = db.url().to_owned();
        let mut server = Self::with(mode, &url, own).await;
        server.db = Some(db);
        server
    }

    /// As in production: people come by links, and a request must name our host.
    pub(crate) async fn serve() -> Self {
        let db = TestDb::new().await;
        let url = db.url().to_owned();
        let mut server = Self::over(Mode::Serve, &url).await;
        server.db = Some(db);
        server
    }

    /// With room for so many deliveries to wait.
    pub(crate) async fn cramped(room: usize) -> Self {
        let db = TestDb::new().await;
        let url = db.url().to_owned();
        let mut server = Self::build(Mode::Dev, &url, &[], room).await;
        server.db = Some(db);
        server
    }

    /// Over a database of the caller's.
    pub(crate) async fn over(mode: Mode, database_url: &str) -> Self {
        Self::with(mode, database_url, &[]).await
    }

    /// The same with some settings of the caller's.
    pub(crate) async fn with(mode: Mode, database_url: &str, own: &[(&str, &str)]) -> Self {
        Self::build(mode, database_url, own, 512).await
    }

    async fn build(mode: Mode, database_url: &str, own: &[(&str, &str)], room: usize) -> Self {
        let stripe = FakeStripe::start().await;
        let lookup = |name: &str| {
            let found = own.iter().find(|(own, _)| *own == name);
            found
                .map(|(_, value)| (*value).to_owned())
                .or_else(|| setting(name, mode, &stripe))
        };
        let config = Config::from_lookup(mode, lookup).unwrap();
        let db = store::connect(&database_url.to_owned().into(), 8).unwrap();
        let clock = Clock::fixed(DateTime::from_timestamp(NOW, 0).unwrap());
        let life = Lifecycle::default();
        let hub = Hub::new(life.clone());
        let verifier = verifier(&config, db.clone(), &stripe);
        let (intake, committer) = Intake::new(verifier.clone(), room);
        let committing = committer.run(CancellationToken::new());
        let state = AppState::new(Parts {
            config: &config,
            db: db.clone(),
            deliveries: intake,
            verifier: verifier.clone(),
            hub: hub.clone(),
            clock: clock.clone(),
            life: life.clone(),
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve(listener, router(state), life.clone(), config.idle_timeout);
        Self {
            address,
            stripe,
            clock,
            life,
            verifier,
            db: None,
            host: (mode == Mode::Serve).then_some(PUBLIC_HOST),
            tasks: vec![
                tokio::spawn(serving),
                tokio::spawn(hub.run(db)),
                tokio::spawn(committing),
            ],
        }
    }

    /// The test's own connections to the server's database.
    pub(crate) fn pool(&self) -> &sqlx::PgPool {
        self.db.as_ref().unwrap().pool()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = CLIENT.request(method, format!("http://{}{path}", self.address));
        match self.host {
            Some(host) => request.header("host", host),
            None => request,
        }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A page as a browser asks for one.
    pub(crate) async fn page(&self, path: &str) -> (StatusCode, String) {
        let html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let answer = self.get(path).header("accept", html).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// JSON as a script asks for it.
    pub(crate) async fn json(&self, path: &str) -> (StatusCode, Value) {
        let answer = self.get(path).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Starts a verification as a page's script does, and gives its session.
    pub(crate) async fn create(&self) -> Value {
        let request = self.post("/create-verification-session");
        let answer = request
            .json(&json!({ "client": "modal" }))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }

    /// Delivers a body as Stripe would.
    pub(crate) async fn deliver(&self, body: impl Into<Vec<u8>>) -> StatusCode {
        self.send_delivery(body).await.status()
    }

    /// The same, with the whole answer.
    pub(crate) async fn send_delivery(&self, body: impl Into<Vec<u8>>) -> Response {
        let body = body.into();
        let signature = signature::sign(&body, &SecretString::from(SECRET), self.clock.unix());
        let request = self.post("/webhook").header("stripe-signature", signature);
        request.body(body).send().await.unwrap()
    }

    /// Delivers the news that a session now has this status.
    pub(crate) async fn tell(&self, id: &str, session: &str, status: &str, error: Option<&str>) {
        // Whoever asks meanwhile must not hear the contrary.
        self.stripe.move_to(session, status, error);
        let delivery = Delivery::new(id, status, self.stripe.tick(), session);
        let delivery = match error {
            Some(code) => delivery.failed(code, "vr_1"),
            None => delivery,
        };
        assert_eq!(self.deliver(delivery.body()).await, StatusCode::OK);
    }
}

/// An address of ours where nobody listens yet: whoever calls is refused, as long as the socket is kept.
pub(crate) fn unanswered() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn setting(name: &str, mode: Mode, stripe: &FakeStripe) -> Option<String> {
    let public = match mode {
        Mode::Serve => format!("https://{PUBLIC_HOST}"),
        Mode::Dev => "http://localhost:4242".to_owned(),
    };
    let value = match name {
        "PUBLIC_URL" => public,
        "DATABASE_URL" => "postgres://unused".to_owned(),
        "STRIPE_API_BASE" => stripe.url().to_string(),
        "STRIPE_JS_URL" => "https://js.stripe.com/dahlia/stripe.js".to_owned(),
        "STRIPE_VERIFY_ORIGINS" => VERIFY_ORIGIN.to_owned(),
        "STRIPE_SECRET_KEY" => "sk_test_1234567890".to_owned(),
        "STRIPE_PUBLISHABLE_KEY" => "pk_test_1234567890".to_owned(),
        "STRIPE_WEBHOOK_SECRET" => format!("{SECRET},{OTHER_SECRET}"),
        "APP_NAME" => "Acme".to_owned(),
        "APP_PURPOSE" => "Acme needs to know who you are.".to_owned(),
        "SUPPORT_URL" => "https://acme.example/help".to_owned(),
        "PRIVACY_URL" => "https://acme.example/privacy".to_owned(),
        "HAND_OFF" if mode == Mode::Serve => "on".to_owned(),
        _ => return None,
    };
    Some(value)
}

fn verifier(config: &Config, db: store::Db, stripe: &FakeStripe) -> Verifier {
    let key = SecretString::from("sk_test_1234567890");
    let client = stripe::Client::new(stripe::Settings {
        max_retries: 0,
        first_delay: Duration::from_millis(1),
        ..stripe::Settings::new(stripe.url(), key)
    });
    let return_url = config.public_url.join("/submitted").unwrap();
    let livemode = config.stripe.livemode;
    Verifier::new(
        db,
        client.unwrap(),
        Settings {
            livemode,
            return_url,
            limits: Limits::none(NetworkKey::derive(b"")),
            policies: Policies::default(),
            endpoints: Endpoints::default(),
            app_return_url: None,
        },
    )
}
