//! A local Stripe for development and tests, which official clients accept without knowing.
//!
//! It speaks only HTTP: the REST API under `/v1`, the hosted page under `/start`, `/stripe.js`,
//! signed webhooks to this machine, and the tester's own routes, whose names begin with `/_`.
//! Its state is in memory, bounded, and gone when it ends.

mod api;
mod codes;
mod control;
mod delivery;
mod events;
mod expand;
mod faults;
mod form;
mod hosted;
mod idempotency;
mod ids;
mod knobs;
mod ledger;
mod life;
mod modal;
mod plan;
mod refusal;
mod render;
mod report;
mod schedule;
mod session;
mod shape;
mod shelf;
mod statics;
mod time;
mod wire;
mod world;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::any};
use secrecy::SecretString;
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::{knobs::Knobs, time::Time, world::World};
use crate::clock::Clock;

/// What a caller gets that names no version.
const DEFAULT_VERSION: &str = "2026-07-29.dahlia";
/// Receivers are on this machine: what takes longer to connect is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long open connections may take to end at a shutdown.
const DRAIN: Duration = Duration::from_secs(3);
const MOST_CONTROL_BYTES: usize = 64 * 1024;

/// How a sandbox is set up; its finer behaviour is changed while it runs, at `/_settings`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The sandbox's own origin, as browsers on this machine see it.
    pub public_base: Url,
    /// Where its time comes from.
    pub clock: Clock,
    /// How long the async test cases stay in `processing`.
    pub async_delay: Duration,
    /// A receiver that is registered from the start, for all types by name.
    pub webhook: Option<Webhook>,
}

/// A receiver of webhooks.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// On this machine.
    pub url: Url,
    /// What its deliveries are signed with.
    pub secret: SecretString,
}

impl Settings {
    /// The usual settings for a sandbox at this origin.
    pub fn new(public_base: Url, clock: Clock) -> Self {
        Self {
            public_base,
            clock,
            async_delay: Duration::from_secs(2),
            webhook: None,
        }
    }
}

/// Why a sandbox cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The client that delivers webhooks could not be built.
    #[error("the sandbox could not set up its webhook client")]
    Client(#[source] reqwest::Error),
    /// Webhooks are for this machine only.
    #[error("the sandbox delivers to this machine only; name a webhook on localhost or 127.0.0.1")]
    NotLocal,
    /// The listener failed.
    #[error("the sandbox could not serve its address")]
    Serve(#[source] std::io::Error),
}

/// A running sandbox: its state, its time, and what its tasks wait for.
struct Sandbox {
    world: Mutex<World>,
    /// Registered again after a reset, as after a restart.
    webhook: Option<Webhook>,
    time: Time,
    http: reqwest::Client,
    /// Something may have fallen due.
    wake: Notify,
    /// A delivery was tried.
    tried: Notify,
    /// Calls held on purpose may end.
    released: Notify,
    stop: CancellationToken,
}

impl Sandbox {
    fn new(settings: Settings, stop: CancellationToken) -> Result<Self, SandboxError> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(SandboxError::Client)?;
        let knobs = Knobs {
            async_delay_ms: u32::try_from(settings.async_delay.as_millis()).unwrap_or(u32::MAX),
            ..Knobs::default()
        };
        if settings
            .webhook
            .as_ref()
            .is_some_and(|w| !delivery::is_loopback(&w.url))
        {
            return Err(SandboxError::NotLocal);
        }
        let time = Time::new(settings.clock);
        let mut world = World::new(settings.public_base, knobs);
        if let Some(webhook) = &settings.webhook {
            api::register(&mut world, webhook, time.now_ms());
        }
        Ok(Self {
            world: Mutex::new(world),
            webhook: settings.webhook,
            time,
            http,
            wake: Notify::new(),
            tried: Notify::new(),
            released: Notify::new(),
            stop,
        })
    }

    /// A panic in one answer must not take the sandbox away from the others.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a call that is never answered is held.
    fn longest_hold(&self) -> Duration {
        Duration::from_millis(self.world().knobs.hold_ms.into())
    }

    /// Waits on purpose, until the faults are cleared at the latest.
    async fn pause(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.released.notified() => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Serves a sandbox on `listener` until `shutdown` is ready.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), SandboxError> {
    let stop = CancellationToken::new();
    // However serving ends, the deliveries end with it.
    let _stop_at_end = stop.clone().drop_guard();
    let sandbox = Arc::new(Sandbox::new(settings, stop.clone())?);
    let deliveries = tokio::spawn(delivery::run(sandbox.clone(), stop.clone()));
    let stopping = stop.clone();
    let serving = axum::serve(listener, router(sandbox)).with_graceful_shutdown(async move {
        shutdown.await;
        stopping.cancel();
    });
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => served.map_err(SandboxError::Serve)?,
        () = patience => tracing::debug!("the sandbox left connections open"),
    }
    stop.cancel();
    if let Err(error) = deliveries.await {
        tracing::error!(%error, "the sandbox's deliveries ended badly");
    }
    Ok(())
}

/// Every route on one screen.
fn router(sandbox: Arc<Sandbox>) -> Router {
    let failing = middleware::from_fn_with_state(sandbox.clone(), wire::fail_pages);
    let pages = Router::new()
        .merge(hosted::routes())
        .merge(modal::routes())
        .merge(statics::routes())
        .layer(failing);
    Router::new()
        .route("/v1/{*rest}", any(api::answer))
        .route("/v2/{*rest}", any(api::answer))
        .merge(pages)
        .merge(control::routes())
        .fallback(hosted::not_found)
        .layer(DefaultBodyLimit::max(MOST_CONTROL_BYTES))
        .layer(middleware::from_fn_with_state(sandbox.clone(), wire::date))
        .layer(middleware::from_fn(wire::guard_host))
        .with_state(sandbox)
}
