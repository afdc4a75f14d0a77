//! Everything that answers HTTP: routes, guards, handlers and pages.

mod address;
mod api;
mod app_return;
mod assets;
mod auth;
mod body;
mod cors;
mod create;
mod error;
mod health;
mod hub;
mod lifecycle;
mod limit;
mod pages;
mod patience;
mod present;
mod request;
mod router;
mod security;
mod serve;
mod sign_in;
mod start_link;
mod state;
mod status;
mod table;
mod throttle;
mod views;
mod webhook;

pub(crate) use self::router::{APP_RETURN, SUBMITTED};
#[cfg(feature = "dev")]
pub use self::views::gallery;
pub use self::{
    app_return::NoAppLink,
    hub::Hub,
    lifecycle::Lifecycle,
    router::{metrics_router, router, routes},
    serve::serve,
    state::{AppState, Parts, StateError},
    table::Route,
};
