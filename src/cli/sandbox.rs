//! `verigate sandbox`: the local Stripe alone.

use std::{io::Write as _, net::SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpListener;
use url::Url;

use crate::{
    app,
    clock::Clock,
    sandbox::{self, Settings, Webhook},
};

/// Runs it until interrupted.
pub(super) async fn run(
    address: SocketAddr,
    webhook: Option<Url>,
    secret: Option<String>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: stop what listens there, or set SANDBOX_ADDR to a free address")
    })?;
    let address = listener.local_addr()?;
    let mut settings = Settings::new(format!("http://{address}").parse()?, Clock::system());
    settings.webhook = webhook.zip(secret).map(|(url, secret)| Webhook {
        url,
        secret: secret.into(),
    });
    writeln!(
        std::io::stdout(),
        "Sandbox at http://{address} (a local Stripe: no document is checked)"
    )?;
    Ok(sandbox::serve(listener, settings, app::interrupted()).await?)
}
