//! `verigate dev`: Postgres, the sandbox and the server in one process, for this machine only.

use std::{io::Write as _, net::SocketAddr, path::Path};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{net::TcpListener, sync::oneshot};

use super::{App, Listeners, bind, interrupted, signals::run_until_twice_asked};
use crate::{
    causes::causes,
    clock::Clock,
    config::Config,
    postgres::{Cluster, ClusterError, Durability},
    sandbox,
    store::{self, Db},
};

/// Where the private cluster lives, beside the checkout.
const CLUSTER: &str = ".verigate";
/// Its only database.
const DATABASE: &str = "postgres";

/// Runs everything a developer needs until interrupted. A second one says where the first is, and ends well.
///
/// # Errors
/// When Postgres cannot be had, an address is taken, or the database belongs to something else.
pub async fn dev(mut config: Config) -> anyhow::Result<()> {
    let database = match Database::open(&config).await? {
        Opened::Ready(database) => database,
        Opened::Running(note) => return say(&note),
    };
    let listeners = Listeners::bind(config.bind_addr, config.metrics_addr).await?;
    let server = listeners.public.local_addr()?;
    let sandbox = if config.stripe.is_sandbox {
        Some(bind(config.sandbox_addr, "SANDBOX_ADDR").await?)
    } else {
        None
    };
    let sandbox_address = sandbox.as_ref().map(TcpListener::local_addr).transpose()?;
    config.name_ports(server, sandbox_address);
    database.announce(&origin(&config))?;

    let app = App::build(config.clone(), &database.url)?;
    refuse_a_foreign_database(&app.db).await?;
    app.migrate().await?;
    let sandbox = sandbox.map(|listener| run_sandbox(listener, &config, server));
    say(&greeting(&config, sandbox_address))?;
    let ran = run_until_twice_asked(app.run(listeners, interrupted())).await;
    if let Some(sandbox) = sandbox {
        sandbox.end().await;
    }
    ran
}

/// Where the data is, and the private cluster if it is ours.
struct Database {
    url: SecretString,
    cluster: Option<Cluster>,
}

enum Opened {
    Ready(Database),
    /// Another process runs it, and left this word.
    Running(String),
}

impl Database {
    async fn open(config: &Config) -> anyhow::Result<Opened> {
        if let Some(url) = &config.database_url {
            return Ok(Opened::Ready(Self {
                url: url.clone(),
                cluster: None,
            }));
        }
        let started =
            tokio::task::spawn_blocking(|| Cluster::start(Path::new(CLUSTER), Durability::Durable))
                .await?;
        match started {
            Ok(cluster) => {
                let url = SecretString::from(cluster.url(DATABASE));
                Ok(Opened::Ready(Self {
                    url,
                    cluster: Some(cluster),
                }))
            }
            Err(ClusterError::Held { holder, .. }) => {
                let note = holder.note.unwrap_or(holder.process);
                Ok(Opened::Running(format!(
                    "Verigate is already running at {note}"
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn announce(&self, note: &str) -> anyhow::Result<()> {
        self.cluster
            .as_ref()
            .map_or(Ok(()), |cluster| Ok(cluster.announce(note)?))
    }
}

/// The database that `dev` works with, for commands that look into it: while another process runs the private cluster,
/// that one; else it is started for as long as the second part is held.
///
/// # Errors
/// When Postgres cannot be had.
pub async fn database() -> anyhow::Result<(SecretString, Option<Cluster>)> {
    match start_cluster().await? {
        Ok(cluster) => Ok((cluster.url(DATABASE).into(), Some(cluster))),
        Err(ClusterError::Held { .. }) => Ok((
            Cluster::url_of_another(Path::new(CLUSTER), DATABASE)?.into(),
            None,
        )),
        Err(error) => Err(error.into()),
    }
}

async fn start_cluster() -> anyhow::Result<Result<Cluster, ClusterError>> {
    let start = || Cluster::start(Path::new(CLUSTER), Durability::Durable);
    Ok(tokio::task::spawn_blocking(start).await?)
}

/// Many shells export a `DATABASE_URL` of another project; its tables must not get company.
async fn refuse_a_foreign_database(db: &Db) -> anyhow::Result<()> {
    let foreign = store::has_foreign_tables(db)
        .await
        .context("the database cannot be reached")?;
    if foreign {
        bail!(
            "DATABASE_URL names a database with tables of something else: unset it to get a private one, \
             or name an empty database"
        );
    }
    Ok(())
}

/// The sandbox, running beside the server.
struct RunningSandbox {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl RunningSandbox {
    async fn end(self) {
        // Either side may be gone already.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

fn run_sandbox(listener: TcpListener, config: &Config, server: SocketAddr) -> RunningSandbox {
    let mut settings = sandbox::Settings::new(config.stripe.api_base.clone(), Clock::system());
    // The server's real address: PUBLIC_URL may name it otherwise, or through a proxy.
    let url = format!("http://{server}/webhook").parse().ok();
    let secret = config.stripe.webhook_secrets.first().cloned();
    settings.webhook = url
        .zip(secret)
        .map(|(url, secret)| sandbox::Webhook { url, secret });
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        if let Err(error) = sandbox::serve(listener, settings, stopped).await {
            tracing::error!(
                error = %causes(&error),
                "the sandbox ended"
            );
        }
    });
    RunningSandbox { stop, task }
}

fn origin(config: &Config) -> String {
    config.public_url.origin().ascii_serialization()
}

fn greeting(config: &Config, sandbox: Option<SocketAddr>) -> String {
    let origin = origin(config);
    let stripe = match sandbox {
        Some(address) => {
            format!("Sandbox    http://{address} (a local Stripe: no document is checked)")
        }
        None => "Stripe     the real one, with your test key".to_owned(),
    };
    let secret = config
        .stripe
        .webhook_secrets
        .first()
        .map_or("", |secret| secret.expose_secret());
    let secret = match sandbox {
        Some(_) => format!("\n  Webhooks   {origin}/webhook, signed with {secret}"),
        None => String::new(),
    };
    // Where there is a way to sign in nobody is the demo user, and a bare call is nobody's.
    let attempt = if config.sign_in.hand_off {
        "cargo run -- keys create --name app --scope verifications:read,verifications:write"
            .to_owned()
    } else if config.sign_in.oidc.is_some() {
        format!("open {origin} and sign in")
    } else if config.sign_in.is_any() {
        format!("curl {origin}/status -H \"Authorization: Bearer $TOKEN\"")
    } else {
        format!("curl -X POST -is {origin}/create-verification-session -d \"\"")
    };
    format!("\n  Verigate   {origin}\n  {stripe}{secret}\n\n  Try        {attempt}\n")
}

/// The one place where the program speaks to whoever started it, rather than to a log.
fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output is closed")
}
