//! The subcommands of the `verigate` program.

mod allow;
mod database;
mod explain;
mod forget;
mod heal;
mod health;
mod keys;
mod messages;
mod person;
mod redaction;
#[cfg(feature = "dev")]
mod sandbox;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::{
    app,
    config::{self, Config, Environment, LogConfig, LogFormat, Mode},
    store,
    telemetry::{self, Format},
};

/// A self-hosted verification gateway for Stripe Identity.
#[derive(Debug, Parser)]
#[command(name = "verigate", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server, with settings from the environment and from a file .env
    Serve {
        /// Leave the database as it is, instead of applying pending migrations first
        #[arg(long)]
        no_migrate: bool,
    },
    /// Run everything on this machine: Postgres, a Stripe sandbox, and the server with a demo user
    #[cfg(feature = "dev")]
    Dev,
    /// Apply pending migrations to the database, and stop
    Migrate,
    /// Ask the server on this machine whether it is ready; fails when it is not
    Health,
    /// Run the Stripe sandbox alone
    #[cfg(feature = "dev")]
    Sandbox {
        /// Where it delivers events; on this machine
        #[arg(long, requires = "secret")]
        webhook: Option<url::Url>,
        /// What it signs them with
        #[arg(long, requires = "webhook")]
        secret: Option<String>,
    },
    /// Make, list and revoke the keys with which applications call /v1
    #[command(subcommand)]
    Keys(keys::Keys),
    /// List the messages that applications have not taken, and deliver some once more
    #[command(subcommand)]
    Messages(messages::Messages),
    /// Look for what no delivery told of: all of it, now, beside running servers
    Heal {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say why a person or a session is in the state it is in
    Explain {
        /// The person's id in your application, a session's, which begins with vs_, or a verification's as the API tells it
        subject: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Allow a person one attempt beyond the limits of attempts
    Allow {
        /// The person's id in your application, or at the identity provider
        external_id: String,
        /// Whose word for them it is, where several people have this id
        #[arg(long)]
        realm: Option<String>,
    },
    /// Forget a person, for good: nothing of them is left here, and the server has Stripe erase the rest
    Forget {
        /// The person's id in your application
        external_id: String,
        /// Whose word for them it is, where several people have this id
        #[arg(long)]
        realm: Option<String>,
    },
}

impl Cli {
    /// Reads the command line; ends the process where it asks for help or the version, or makes no sense.
    pub fn read() -> Self {
        Self::parse()
    }

    /// Does what was asked for. What went wrong is said on standard error, with what to do.
    pub async fn run(self) -> ExitCode {
        match self.command.run().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Nowhere is left to say it if this fails.
                let _ = writeln!(io::stderr(), "verigate: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        let environment = Environment::read()?;
        let lookup = |name: &str| environment.lookup(name);
        match self {
            Self::Serve { no_migrate } => {
                let config = Config::from_lookup(Mode::Serve, lookup)?;
                start_log(&config.log)?;
                app::serve(config, !no_migrate).await
            }
            #[cfg(feature = "dev")]
            Self::Dev => {
                let config = Config::from_lookup(Mode::Dev, lookup)?;
                start_log(&config.log)?;
                app::dev(config).await
            }
            Self::Migrate => migrate(lookup).await,
            Self::Health => {
                let address = config::bind_addr(Mode::Serve, lookup)?;
                Ok(health::ask(address).await?)
            }
            #[cfg(feature = "dev")]
            Self::Sandbox { webhook, secret } => {
                start_log(&config::log(Mode::Dev, lookup)?)?;
                sandbox::run(config::sandbox_addr(lookup)?, webhook, secret).await
            }
            Self::Keys(keys) => keys.run(lookup).await,
            Self::Messages(messages) => messages.run(lookup).await,
            Self::Heal { json } => heal::run(lookup, json).await,
            Self::Explain { subject, json } => explain::run(lookup, &subject, json).await,
            Self::Allow { external_id, realm } => {
                allow::run(lookup, &external_id, realm.as_deref()).await
            }
            Self::Forget { external_id, realm } => {
                forget::run(lookup, &external_id, realm.as_deref()).await
            }
        }
    }
}

async fn migrate(lookup: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    start_log(&config::log(Mode::Serve, &lookup)?)?;
    if let Some(url) = config::database_url(Mode::Serve, &lookup)? {
        let db = store::connect(&url, 1)?;
        db.migrate().await.context("the migrations failed")?;
        db.close().await;
    }
    writeln!(io::stdout(), "the database is up to date")?;
    Ok(())
}

fn start_log(log: &LogConfig) -> anyhow::Result<()> {
    let format = match log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    Ok(telemetry::start_log(&log.filter, format)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_is_run_unless_it_is_asked_for_by_name() {
        assert!(Cli::try_parse_from(["verigate"]).is_err());
        let cli = Cli::try_parse_from(["verigate", "serve"]).unwrap();
        assert!(matches!(cli.command, Command::Serve { no_migrate: false }));
    }

    #[test]
    fn the_version_is_the_packages() {
        let asked = Cli::try_parse_from(["verigate", "--version"]).unwrap_err();
        assert_eq!(asked.kind(), clap::error::ErrorKind::DisplayVersion);
        assert!(asked.to_string().contains(env!("CARGO_PKG_VERSION")));
    }
}
