//! The whole system for one walk: Postgres, the sandbox and the server, each on a port of its own.

use std::net::SocketAddr;

use reqwest::{Client, Method, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use url::Url;
use verigate::{
    app::{App, Listeners, Pools},
    clock::Clock,
    config::{Config, Mode},
    sandbox, store,
};

use crate::support::{PATIENCE, database::TestDb};

/// As in development: everybody is the demo user.
pub(crate) struct Stage {
    /// Of the server, by another name than the sandbox's, so that a frame of that is of another site.
    pub(crate) origin: String,
    pub(crate) db: TestDb,
    config: Config,
    server_address: SocketAddr,
    sandbox_base: Url,
    webhook: sandbox::Webhook,
    http: Client,
    sandbox: Option<Running>,
    server: Option<Running>,
}

/// Something that serves until it is told to stop.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn end(self) {
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

impl Stage {
    /// With settings beside the usual ones.
    pub(crate) async fn start(own: &[(&str, &str)]) -> Self {
        let db = TestDb::new().await;
        let (sandbox, server) = tokio::join!(bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        let sandbox_address = sandbox.local_addr().unwrap();
        let server_address = server.local_addr().unwrap();

        let mut config = Config::from_lookup(Mode::Dev, |name| {
            let found = own.iter().find(|(own, _)| *own == name);
            found.map_or_else(|| setting(name), |(_, value)| Some((*value).to_owned()))
        })
        .unwrap();
        config.name_ports(server_address, Some(sandbox_address));
        let origin = config.public_url.origin().ascii_serialization();
        let webhook = sandbox::Webhook {
            url: format!("http://{server_address}/webhook").parse().unwrap(),
            secret: config.stripe.webhook_secrets[0].clone(),
        };
        let sandbox_base = config.stripe.api_base.clone();
        let mut stage = Self {
            origin,
            db,
            config,
            server_address,
            sandbox_base,
            webhook,
            http: Client::builder()
                .no_proxy()
                .timeout(PATIENCE)
                .build()
                .unwrap(),
            sandbox: None,
            server: None,
        };
        stage.open_server(server);
        stage.open_sandbox(sandbox);
        stage
    }

    fn open_server(&mut self, listener: TcpListener) {
        self.server = Some(serve(self.config.clone(), self.db.url(), listener));
    }

    /// Starts everything but Postgres anew, as when `verigate dev` is started again.
    pub(crate) async fn restart(&mut self) {
        self.server.take().unwrap().end().await;
        self.stop_sandbox().await;
        self.start_sandbox().await;
        let listener = bind(&self.server_address.to_string()).await;
        self.open_server(listener);
    }

    fn open_sandbox(&mut self, listener: TcpListener) {
        let settings = sandbox::Settings {
            webhook: Some(self.webhook.clone()),
            ..sandbox::Settings::new(self.sandbox_base.clone(), Clock::system())
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            sandbox::serve(listener, settings, stopped).await.unwrap();
        });
        self.sandbox = Some(Running { stop, task });
    }

    /// Takes Stripe away.
    pub(crate) async fn stop_sandbox(&mut self) {
        self.sandbox.take().unwrap().end().await;
    }

    /// Brings it back at its address, with nothing remembered.
    pub(crate) async fn start_sandbox(&mut self) {
        let address = self.sandbox_base.socket_addrs(|| None).unwrap()[0].to_string();
        let listener = bind(&address).await;
        self.open_sandbox(listener);
    }

    /// Ends the server, then the sandbox.
    pub(crate) async fn end(mut self) {
        for running in [self.server.take(), self.sandbox.take()]
            .into_iter()
            .flatten()
        {
            running.end().await;
        }
    }

    /// An address of the server.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// An address of the sandbox.
    pub(crate) fn sandbox_at(&self, path: &str) -> String {
        self.sandbox_base.join(path).unwrap().into()
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, self.sandbox_at(path))
            .bearer_auth("sk_test_verigate_sandbox")
    }

    /// Asks the sandbox.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    /// Tells the sandbox how to behave, or what happens.
    pub(crate) async fn tell(&self, path: &str, body: Value) {
        let sent = self.call(Method::POST, path).json(&body).send().await;
        sent.unwrap().error_for_status().unwrap();
    }

    /// Lets the async cases wait until [`Self::finish_checks`].
    pub(crate) async fn hold_checks(&self) {
        self.tell("/_settings", json!({ "async_delay_ms": 3_600_000 }))
            .await;
    }

    /// Ends the checks of every session.
    pub(crate) async fn finish_checks(&self) {
        for session in self.sessions().await {
            self.tell(&format!("/_sessions/{session}/finish"), json!({}))
                .await;
        }
    }

    /// Ends all faults, and lets go of what they hold.
    pub(crate) async fn clear_faults(&self) {
        let sent = self.call(Method::DELETE, "/_faults").send().await;
        sent.unwrap().error_for_status().unwrap();
    }

    /// The sessions that the sandbox knows, oldest first.
    pub(crate) async fn sessions(&self) -> Vec<String> {
        let all = self.ask("/_sessions").await;
        let all = all["sessions"].as_array().unwrap();
        let ids = all.iter().map(|session| session["id"].as_str().unwrap());
        ids.map(str::to_owned).collect()
    }

    /// How many sessions it was asked to create, well or not.
    pub(crate) async fn creates(&self) -> usize {
        let ledger = self.ask("/_ledger").await;
        let calls = ledger["calls"].as_array().unwrap().iter();
        let is_create = |call: &&Value| {
            call["method"] == "POST" && call["path"] == "/v1/identity/verification_sessions"
        };
        calls.filter(is_create).count()
    }

    /// The only session there is.
    pub(crate) async fn session(&self) -> String {
        let mut all = self.sessions().await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

async fn bind(address: &str) -> TcpListener {
    TcpListener::bind(address).await.unwrap()
}

fn setting(name: &str) -> Option<String> {
    let value = match name {
        "BIND_ADDR" | "SANDBOX_ADDR" => "127.0.0.1:0",
        "SHUTDOWN_DELAY" => "0",
        "HEAL_EVERY" => "none",
        "APP_NAME" => "Acme",
        "APP_URL" => "https://acme.example/",
        "ALTERNATIVE_URL" => "https://acme.example/in-person",
        _ => return None,
    };
    Some(value.to_owned())
}

fn serve(config: Config, database: &str, listener: TcpListener) -> Running {
    let database = SecretString::from(database);
    let pools = Pools {
        db: store::connect(&database, 8).unwrap(),
        intake_db: store::connect(&database, 4).unwrap(),
    };
    let app = App::from_parts(config, pools, Clock::system()).unwrap();
    let listeners = Listeners {
        public: listener,
        metrics: None,
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopped.await;
        };
        app.run(listeners, stopped).await.unwrap();
    });
    Running { stop, task }
}
