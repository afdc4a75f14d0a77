//! The composition root: builds everything once, runs it, and shuts it down in order.

mod crew;
#[cfg(feature = "dev")]
mod dev;
mod heal;
mod intake;
mod policies;
mod signals;
mod tell;
mod uncounted;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::crew::Crew;
#[cfg(feature = "dev")]
pub use self::dev::{database, dev};
pub use self::{heal::heal, signals::interrupted};
use crate::{
    causes::causes,
    clock::Clock,
    config::Config,
    domain::{Allowance, Budget},
    http::{self, AppState, Hub, Lifecycle, Parts},
    jobs,
    store::{self, Db, NetworkKey},
    stripe,
    telemetry::Metrics,
    verification::{Limits, Settings, Verifier},
};

/// Connections for people, probes and jobs; well below Postgres' default of a hundred, so that several processes fit.
const CONNECTIONS: usize = 16;
/// Connections for deliveries alone: people must not be able to keep Stripe waiting.
const INTAKE_CONNECTIONS: usize = 4;
/// How long requests in flight may take to finish once nothing new is accepted.
const DRAIN: Duration = Duration::from_secs(25);
/// How long it may take to part with the database.
const FAREWELL: Duration = Duration::from_secs(3);

/// Everything, wired but not yet running.
#[derive(Debug)]
pub struct App {
    config: Arc<Config>,
    clock: Clock,
    db: Db,
    intake_db: Db,
    verifier: Verifier,
}

/// Where it listens.
#[derive(Debug)]
pub struct Listeners {
    /// For people and Stripe.
    pub public: TcpListener,
    /// For whoever gathers metrics.
    pub metrics: Option<TcpListener>,
}

impl App {
    /// Connects as configured. Production and tests meet in [`Self::from_parts`].
    ///
    /// # Errors
    /// When the database address cannot be used, or the Stripe client cannot be built.
    pub fn build(config: Config, database_url: &SecretString) -> anyhow::Result<Self> {
        let db =
            store::connect(database_url, CONNECTIONS).context("DATABASE_URL cannot be used")?;
        let intake_db = store::connect(database_url, INTAKE_CONNECTIONS)?;
        Self::from_parts(config, Pools { db, intake_db }, Clock::system())
    }

    /// Wires the parts.
    ///
    /// # Errors
    /// When the Stripe client cannot be built.
    pub fn from_parts(config: Config, pools: Pools, clock: Clock) -> anyhow::Result<Self> {
        let settings = stripe::Settings {
            rate_per_second: config.stripe.calls_per_second,
            ..stripe::Settings::new(
                config.stripe.api_base.clone(),
                config.stripe.secret_key.clone(),
            )
        };
        let client = stripe::Client::new(settings).context("the Stripe client cannot be built")?;
        let verifier = Verifier::new(
            pools.db.clone(),
            client,
            Settings {
                livemode: config.stripe.livemode,
                limits: limits(&config),
                return_url: return_url(&config.public_url, http::SUBMITTED)?,
                app_return_url: match config.native.links.as_slice() {
                    [] => None,
                    _ => Some(return_url(&config.public_url, http::APP_RETURN)?),
                },
                policies: policies::policies(&config.policies),
                endpoints: tell::endpoints(&config),
            },
        );
        let Pools { db, intake_db } = pools;
        Ok(Self {
            config: Arc::new(config),
            clock,
            db,
            intake_db,
            verifier,
        })
    }

    /// The use cases, for whoever drives them without HTTP.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Applies pending migrations, waiting for any other process that is at it.
    ///
    /// # Errors
    /// When the database cannot be reached or a migration fails.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        self.db
            .migrate()
            .await
            .context("the migrations could not be applied")
    }

    /// Serves until `shutdown`, then turns unready, waits, lets requests in flight finish, and stops the jobs.
    ///
    /// # Errors
    /// When it cannot begin, or ended because a job met a bug: whoever started it should do so again.
    pub async fn run(
        self,
        listeners: Listeners,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let life = Lifecycle::default();
        let jobs_end = CancellationToken::new();
        let idle = self.config.idle_timeout;
        let hub = Hub::new(life.clone());
        let mut crew = Crew::default();
        crew.start("hub", hub.clone().run(self.db.clone()));
        self.start_askers(&mut crew, &jobs_end);
        tell::start(&self, &mut crew, &jobs_end)?;
        let books = jobs::run_books(self.verifier.clone(), jobs_end.clone());
        crew.start("books", books);
        self.start_erasing(&mut crew, &jobs_end);

        let intake = intake::start(&self, &mut crew, &jobs_end)?;
        let state = AppState::new(Parts {
            config: &self.config,
            db: self.db.clone(),
            verifier: self.verifier.clone(),
            deliveries: intake,
            hub,
            clock: self.clock.clone(),
            life: life.clone(),
        })
        .context("the settings cannot be worked with")?;
        if let Some(listener) = listeners.metrics {
            let metrics = Metrics::start()?;
            tracing::info!(address = %listener.local_addr()?, "metrics are served");
            let router = http::metrics_router(move || metrics.render());
            let serving = http::serve(listener, router, life.clone(), idle);
            crew.start("metrics", serving);
        }
        let broken = crew.broken();
        let over = either(shutdown, broken.clone().cancelled_owned());
        let farewell = tokio::spawn(leave(over, life.clone(), self.config.shutdown_delay));
        serve_public(listeners.public, http::router(state), life, idle).await;
        farewell.abort();
        jobs_end.cancel();
        crew.end(DRAIN).await;
        part_with(self.db).await;
        anyhow::ensure!(!broken.is_cancelled(), "a job met a bug");
        tracing::info!("stopped");
        Ok(())
    }

    /// What is to go goes: at Stripe on request, and here by age.
    fn start_erasing(&self, crew: &mut Crew, end: &CancellationToken) {
        let (verifier, db) = (self.verifier.clone(), self.db.clone());
        crew.start("erasure", jobs::run_erasure(verifier, db, end.clone()));
        let (db, keep) = (self.db.clone(), self.config.retention.clone());
        crew.start("retention", jobs::run_retention(db, keep, end.clone()));
    }
}

/// The pools of connections an app works with.
#[derive(Clone, Debug)]
pub struct Pools {
    /// For people, probes and jobs.
    pub db: Db,
    /// For deliveries.
    pub intake_db: Db,
}

/// Runs in production until a signal says stop.
///
/// # Errors
/// When it cannot start; everything that can be known before listening is.
pub async fn serve(config: Config, migrate: bool) -> anyhow::Result<()> {
    let database_url = config
        .database_url
        .clone()
        .context("DATABASE_URL is missing")?;
    let (bind, metrics) = (config.bind_addr, config.metrics_addr);
    let listeners = Listeners::bind(bind, metrics).await?;
    let address = listeners.public.local_addr()?;
    let app = App::build(config, &database_url)?;
    if migrate {
        app.migrate().await?;
    } else if let Err(error) = app.db.take_over().await {
        // Its migrations may be somebody else's to apply, who takes over with them.
        let error = causes(&error);
        tracing::warn!(
            %error,
            "the database could not be asked whether it was restored"
        );
    }
    tokio::spawn(uncounted::warn(app.db.clone(), Arc::clone(&app.config)));
    // The real one: a setting with port 0 asks for any.
    tracing::info!(address = %address, "serving");
    signals::run_until_twice_asked(app.run(listeners, interrupted())).await
}

impl Listeners {
    /// Binds, so that a taken port is told before anything else happens.
    ///
    /// # Errors
    /// When an address is taken or not ours.
    pub async fn bind(public: SocketAddr, metrics: Option<SocketAddr>) -> anyhow::Result<Self> {
        Ok(Self {
            public: bind(public, "BIND_ADDR").await?,
            metrics: match metrics {
                Some(address) => Some(bind(address, "METRICS_ADDR").await?),
                None => None,
            },
        })
    }
}

pub(crate) async fn bind(address: SocketAddr, name: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}: stop what listens there, or set {name} to a free address"
        )
    })
}

/// Waits for the signal, turns unready, and closes the door after the delay in which balancers notice.
async fn leave(shutdown: impl Future<Output = ()>, life: Lifecycle, delay: Duration) {
    shutdown.await;
    tracing::info!(
        delay_s = delay.as_secs(),
        "leaving: not ready for anything new"
    );
    life.leave();
    tokio::time::sleep(delay).await;
    life.close();
}

async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! {
        () = one => {}
        () = other => {}
    }
}

/// Closes connections, unless the database stands still: it takes no leave.
async fn part_with(database: Db) {
    if tokio::time::timeout(FAREWELL, database.close())
        .await
        .is_err()
    {
        tracing::warn!("connections to the database were left as they are");
    }
}

async fn serve_public(
    listener: TcpListener,
    router: axum::Router,
    life: Lifecycle,
    idle: Duration,
) {
    let too_late = async {
        life.closed().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = http::serve(listener, router, life.clone(), idle) => {}
        () = too_late => {
            tracing::warn!("requests in flight did not finish in time; their clients must try again");
        }
    }
}

fn return_url(public_url: &Url, path: &str) -> anyhow::Result<Url> {
    public_url
        .join(path)
        .context("PUBLIC_URL is no base for addresses")
}

fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        attempts_per_day: limits.attempts_per_day,
        attempts_in_total: limits.attempts_in_total,
        creations_per_user_per_hour: limits.creations_per_user_per_hour,
        creations_per_address_per_hour: limits.creations_per_address_per_hour,
        budget: Budget {
            day: Allowance {
                checks: limits.checks_per_day,
                money: limits.money_per_day,
            },
            month: Allowance {
                checks: limits.checks_per_month,
                money: limits.money_per_month,
            },
            price: limits.check_price,
        },
        network_key: NetworkKey::derive(config.stripe.secret_key.expose_secret().as_bytes()),
    }
}
