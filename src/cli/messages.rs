//! `verigate messages`: what applications have yet to be told, and telling it once more.

use std::io::Write as _;

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::database::{find_database, mode};
use crate::{
    config::{self, MAIL},
    store::{self, Db, Replay, WaitingDelivery},
};

/// More than anybody reads.
const MOST: usize = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Messages {
    /// List the messages that endpoints have not taken, the oldest first
    List {
        /// Only those for this endpoint
        #[arg(long)]
        endpoint: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Deliver messages once more, whether they were taken or not
    Replay {
        #[arg(
            long,
            help = "The endpoint, as WEBHOOK_ENDPOINTS names it; mail for e-mails"
        )]
        endpoint: String,
        /// The first message, msg_…
        #[arg(value_parser = parse_message)]
        first: Uuid,
        /// The last one; the first alone if left out
        #[arg(value_parser = parse_message)]
        last: Option<Uuid>,
    },
    /// Leave untold whatever an endpoint has not taken, for one that is no more
    Drop {
        #[arg(long, help = "The endpoint, as WEBHOOK_ENDPOINTS names it or did")]
        endpoint: String,
    },
}

impl Messages {
    pub(super) async fn run(self, lookup: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
        let kinds = match &self {
            Self::Replay { endpoint, .. } => kinds(endpoint, &lookup)?,
            Self::List { .. } | Self::Drop { .. } => None,
        };
        let (url, _running) = find_database(&lookup).await?;
        let db = store::connect(&url, 1)?;
        let done = self.run_on(&db, kinds.as_deref()).await;
        db.close().await;
        done
    }

    async fn run_on(self, db: &Db, kinds: Option<&[String]>) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        match self {
            Self::List { endpoint, json } => {
                let one_more = i64::try_from(MOST + 1)?;
                let mut all =
                    store::list_deliveries_under_way(db, endpoint.as_deref(), one_more).await?;
                if all.len() > MOST {
                    all.truncate(MOST);
                    // Apart from the list itself, which programs read.
                    writeln!(std::io::stderr(), "and more: these are the oldest {MOST}")?;
                }
                if json {
                    let all: Vec<_> = all.iter().map(as_json).collect();
                    writeln!(out, "{:#}", json!(all))?;
                    return Ok(());
                }
                for delivery in &all {
                    writeln!(out, "{}", as_line(delivery))?;
                }
                if all.is_empty() {
                    writeln!(out, "every endpoint has been told everything")?;
                }
            }
            Self::Replay {
                endpoint,
                first,
                last,
            } => {
                let replay = Replay {
                    endpoint: &endpoint,
                    first,
                    last: last.unwrap_or(first),
                    kinds,
                };
                let many = store::replay_deliveries(db, replay).await?;
                if many == 0 {
                    bail!(
                        "there are no such messages, or none that {endpoint} wants to hear of: \
                         `verigate messages list` and /v1/events know their ids"
                    );
                }
                writeln!(
                    out,
                    "{many} to be delivered to {endpoint} by the running server"
                )?;
            }
            Self::Drop { endpoint } => {
                let many = store::drop_deliveries(db, &endpoint).await?;
                writeln!(out, "{many} that {endpoint} will not be told")?;
            }
        }
        Ok(())
    }
}

/// What an endpoint wants to hear of; none is all of it.
fn kinds(
    endpoint: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Option<Vec<String>>> {
    if endpoint == MAIL {
        return Ok(None);
    }
    let endpoints = config::endpoints(mode(&lookup), lookup)?.all;
    let names: Vec<&str> = endpoints.iter().map(|it| it.name.as_str()).collect();
    let Some(found) = endpoints.iter().find(|it| it.name == endpoint) else {
        bail!(
            "WEBHOOK_ENDPOINTS, as it is set for this command, names no {endpoint}, so that nobody would deliver to it; \
             it names: {}",
            if names.is_empty() {
                "nobody".to_owned()
            } else {
                names.join(", ")
            }
        );
    };
    Ok(Some(found.events.clone()))
}

fn as_json(delivery: &WaitingDelivery) -> serde_json::Value {
    json!({
        "endpoint": delivery.endpoint,
        "message": name(delivery),
        "type": delivery.kind,
        "tries": delivery.tries,
        "failure": delivery.failure,
        "dead": delivery.dead,
    })
}

fn as_line(delivery: &WaitingDelivery) -> String {
    let state = if delivery.dead { "given up" } else { "waiting" };
    let failure = delivery.failure.as_deref().unwrap_or("not tried yet");
    format!(
        "{}  {}  {}  {state} after {} tries ({failure})",
        name(delivery),
        delivery.endpoint,
        delivery.kind,
        delivery.tries
    )
}

fn name(delivery: &WaitingDelivery) -> String {
    format!("msg_{}", delivery.message.simple())
}

fn parse_message(text: &str) -> Result<Uuid, &'static str> {
    let id = text
        .strip_prefix("msg_")
        .and_then(|id| Uuid::try_parse(id).ok());
    id.ok_or("a message's id begins with msg_, and is told with it")
}
