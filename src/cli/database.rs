//! The database that a command works on: the server's.

#[cfg(not(feature = "dev"))]
use anyhow::Context as _;
use secrecy::SecretString;

use crate::config::{self, Mode};
#[cfg(feature = "dev")]
use crate::{app, postgres};

/// `DATABASE_URL`'s, or the one of `verigate dev`; the second part keeps it running.
#[cfg(feature = "dev")]
pub(super) async fn find_database(
    lookup: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<(SecretString, Option<postgres::Cluster>)> {
    match config::database_url(Mode::Dev, lookup)? {
        Some(url) => Ok((url, None)),
        None => app::database().await,
    }
}

#[cfg(not(feature = "dev"))]
pub(super) fn find_database(
    lookup: impl Fn(&str) -> Option<String>,
) -> impl Future<Output = anyhow::Result<(SecretString, ())>> {
    let url = config::database_url(Mode::Serve, lookup).map_err(anyhow::Error::from);
    let found = url.and_then(|url| url.context("DATABASE_URL is not set: set it to the server's"));
    std::future::ready(found.map(|url| (url, ())))
}

/// The settings are those of `serve`, which cannot do without `PUBLIC_URL`; else those of `dev`.
#[cfg(feature = "dev")]
pub(super) fn mode(lookup: impl Fn(&str) -> Option<String>) -> Mode {
    let public = lookup("PUBLIC_URL").filter(|url| !url.trim().is_empty());
    public.map_or(Mode::Dev, |_| Mode::Serve)
}

#[cfg(not(feature = "dev"))]
pub(super) fn mode(_: impl Fn(&str) -> Option<String>) -> Mode {
    Mode::Serve
}
