//! `verigate keys`: makes, lists and revokes the keys of applications.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::database::find_database;
#[cfg(not(feature = "dev"))]
use crate::config::Mode;
use crate::{
    config,
    domain::{KeyText, ReturnRule, Scope},
    store::{self, ApiKeyRecord, Db, NewApiKey},
};

const DAY: u64 = 24 * 60 * 60;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a key, and print it this once
    Create {
        /// What to call it
        #[arg(long, value_parser = parse_name)]
        name: String,
        /// What it may do; may be given several times
        #[arg(long = "scope", required = true, value_delimiter = ',', value_parser = parse_scope)]
        scopes: Vec<Scope>,
        /// How long it works; for ever if left out
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        expires_in_days: Option<u16>,
        #[arg(
            long = "return-to",
            value_name = "ORIGIN",
            help = "An origin (https://app.example) or an app's scheme (myapp://) that people may be sent back to; may \
                    be given several times"
        )]
        return_to: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List all keys, newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a key at once, for good
    Revoke {
        /// Its id, as `keys list` prints it
        id: Uuid,
    },
}

impl Keys {
    pub(super) async fn run(self, lookup: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
        // Before a database is looked for: a key for the wrong server helps nobody.
        let made = match &self {
            Self::Create { return_to, .. } => {
                let livemode = find_livemode(&lookup)?;
                check_return_to(return_to, livemode)?;
                Some(KeyText::mint(livemode, rand::random()))
            }
            Self::List { .. } | Self::Revoke { .. } => None,
        };
        let (url, _running) = find_database(&lookup).await?;
        let db = store::connect(&url, 1)?;
        let done = self.run_on(&db, made).await;
        db.close().await;
        done
    }

    async fn run_on(self, db: &Db, made: Option<KeyText>) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        match (self, made) {
            (
                Self::Create {
                    name,
                    mut scopes,
                    expires_in_days,
                    return_to,
                    json,
                },
                Some(key),
            ) => {
                scopes.sort();
                scopes.dedup();
                let days = expires_in_days.map(u64::from);
                let new = NewApiKey {
                    name: &name,
                    key: &key,
                    scopes: &scopes,
                    return_to: &return_to,
                    lifetime: days.map(|days| Duration::from_secs(DAY * days)),
                };
                let id = store::insert_api_key(db, &new).await?;
                if json {
                    let made = json!({ "id": id, "key": key.expose() });
                    writeln!(out, "{made:#}")?;
                } else {
                    writeln!(out, "{}\n", key.expose())?;
                    writeln!(
                        out,
                        "This is key {id} ({name}). It is shown only now: keep it where your backend keeps its secrets."
                    )?;
                }
            }
            (Self::Revoke { id }, _) => {
                if !store::revoke_api_key(db, id).await? {
                    bail!("there is no key {id}: `verigate keys list` prints the ids");
                }
                writeln!(out, "key {id} is revoked")?;
            }
            (Self::List { json }, _) => list(db, json).await?,
            (Self::Create { .. }, None) => bail!("no key was made"),
        }
        Ok(())
    }
}

fn check_return_to(rules: &[String], livemode: bool) -> anyhow::Result<()> {
    for rule in rules {
        ReturnRule::parse(rule, livemode)
            .with_context(|| format!("--return-to {rule} cannot be used"))?;
    }
    Ok(())
}

/// A key works on servers of its own mode only.
fn find_livemode(lookup: impl Fn(&str) -> Option<String>) -> anyhow::Result<bool> {
    #[cfg(feature = "dev")]
    let found = config::livemode(config::Mode::Dev, lookup)?.or(Some(false));
    #[cfg(not(feature = "dev"))]
    let found = config::livemode(Mode::Serve, lookup)?;
    match found {
        Some(livemode) => Ok(livemode),
        None => {
            bail!("STRIPE_SECRET_KEY is not set: set it to the server's, whose mode the key gets")
        }
    }
}

async fn list(db: &Db, json: bool) -> anyhow::Result<()> {
    let keys = store::list_api_keys(db).await?;
    let mut out = std::io::stdout();
    if json {
        let all: Vec<Value> = keys.iter().map(to_json).collect();
        writeln!(out, "{:#}", Value::from(all))?;
        return Ok(());
    }
    if keys.is_empty() {
        writeln!(out, "no keys yet: make one with `verigate keys create`")?;
    }
    for key in &keys {
        writeln!(out, "{}  {}  {}", key.id, mode(key), key.name)?;
        writeln!(out, "  {}", state(key))?;
        writeln!(out, "  may     {}", scopes(key).join(" "))?;
        let used = key.last_used_at.map_or("never".to_owned(), time);
        writeln!(out, "  made    {}, last used {used}", time(key.created_at))?;
        if !key.return_to.is_empty() {
            writeln!(out, "  returns {}", key.return_to.join(" "))?;
        }
    }
    Ok(())
}

fn to_json(key: &ApiKeyRecord) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "livemode": key.livemode,
        "active": key.active,
        "scopes": scopes(key),
        "return_to": key.return_to,
        "created_at": time(key.created_at),
        "expires_at": key.expires_at.map(time),
        "revoked_at": key.revoked_at.map(time),
        "last_used_at": key.last_used_at.map(time),
    })
}

fn state(key: &ApiKeyRecord) -> String {
    match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", time(at)),
        (None, Some(at)) if key.active => format!("works until {}", time(at)),
        (None, Some(at)) => format!("expired {}", time(at)),
        (None, None) => "works".to_owned(),
    }
}

fn mode(key: &ApiKeyRecord) -> &'static str {
    if key.livemode { "live" } else { "test" }
}

fn scopes(key: &ApiKeyRecord) -> Vec<&'static str> {
    key.scopes.iter().map(|scope| scope.as_str()).collect()
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn parse_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_line = !text.is_empty() && text.chars().count() <= 100;
    if is_line && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("a name is one line of at most 100 characters".to_owned())
    }
}

fn parse_scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| {
        let all = Scope::ALL.map(Scope::as_str).join(", ");
        format!("the scopes are {all}")
    })
}
