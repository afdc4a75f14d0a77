//! What the database holds after a walk.

use serde_json::Value;
use sqlx::FromRow;

use crate::{stage::Stage, support::eventually};

/// Whatever opens something, or says who somebody is: no column of any table may hold it.
const FORBIDDEN: &str = r"_secret_|/start/|/modal|\mek_|\msk_test|\mwhsec_|v1=|Jenny|Rosen|\mdob\M";

/// An attempt as it stands.
#[derive(Debug, FromRow, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) session_id: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) error_code: Option<String>,
}

#[derive(Debug, FromRow)]
struct Step {
    verification_id: uuid::Uuid,
    from_status: Option<String>,
    to_status: Option<String>,
    cause: String,
}

impl Stage {
    pub(crate) async fn user_status(&self) -> String {
        sqlx::query_scalar("SELECT status FROM users")
            .fetch_one(self.db.pool())
            .await
            .unwrap()
    }

    /// Oldest first.
    pub(crate) async fn attempts(&self) -> Vec<Attempt> {
        let sql =
            "SELECT session_id, status, error_code FROM verifications ORDER BY created_at, id";
        sqlx::query_as(sql).fetch_all(self.db.pool()).await.unwrap()
    }

    /// Waits until the person stands so, by one attempt at the only session the sandbox has.
    pub(crate) async fn stands(&self, status: &str, error: Option<&str>) {
        let session = self.session().await;
        let expected = Attempt {
            session_id: Some(session.clone()),
            status: Some(status.to_owned()),
            error_code: error.map(str::to_owned),
        };
        eventually(&format!("{expected:?}"), async || {
            (self.attempts().await == std::slice::from_ref(&expected)).then_some(())
        })
        .await;
        assert_eq!(self.user_status().await, status);
        let truth = self.ask(&format!("/_sessions/{session}")).await;
        assert_eq!(truth["status"], status);
        self.hears_everything().await;
    }

    /// Waits until the person stands so by a second attempt, the first one's session having been forgotten.
    pub(crate) async fn stands_after(&self, forgotten: &str, status: &str) {
        let session = self.session().await;
        eventually("the second attempt", async || {
            let attempts = self.attempts().await;
            let [first, second] = attempts.as_slice() else {
                return None;
            };
            assert_eq!(first.session_id.as_deref(), Some(forgotten));
            let same = second.session_id.as_ref() == Some(&session);
            (same && second.status.as_deref() == Some(status)).then_some(())
        })
        .await;
        assert_eq!(self.user_status().await, status);
    }

    /// Waits until every event that the sandbox made has been committed, and taken as what it says.
    async fn hears_everything(&self) {
        let events = self.ask("/v1/events?limit=100").await;
        let mut made: Vec<String> = events["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(name)
            .collect();
        assert!(!made.is_empty());
        made.sort();
        eventually("every event is heard", async || {
            let sql = "SELECT id || ' ' || type FROM stripe_events WHERE outcome = 'applied'";
            let mut heard: Vec<String> = sqlx::query_scalar(sql)
                .fetch_all(self.db.pool())
                .await
                .unwrap();
            heard.sort();
            (heard == made).then_some(())
        })
        .await;
    }

    async fn history(&self) -> Vec<Step> {
        let sql = "SELECT verification_id, from_status, to_status, cause FROM verification_history ORDER BY id";
        sqlx::query_as(sql).fetch_all(self.db.pool()).await.unwrap()
    }

    /// Each attempt's history leads, step by step and each with its cause, from nothing to how it stands.
    pub(crate) async fn assert_history_is_whole(&self) {
        let sql = "SELECT id, status FROM verifications WHERE session_id IS NOT NULL";
        let attempts: Vec<(uuid::Uuid, Option<String>)> =
            sqlx::query_as(sql).fetch_all(self.db.pool()).await.unwrap();
        let history = self.history().await;
        let sql = "SELECT id FROM stripe_events";
        let events: Vec<String> = sqlx::query_scalar(sql)
            .fetch_all(self.db.pool())
            .await
            .unwrap();
        for (id, status) in attempts {
            let mut now = None;
            for step in history.iter().filter(|step| step.verification_id == id) {
                assert_eq!(step.from_status, now, "{history:#?}");
                now.clone_from(&step.to_status);
                let first = step.cause.split(' ').next().unwrap();
                let is_known = !first.starts_with("evt_") || events.iter().any(|id| id == first);
                assert!(!first.is_empty() && is_known, "{step:?}");
            }
            assert_eq!(now, status, "{history:#?}");
        }
    }

    /// No row of any table holds a secret, an address that opens something, or anything personal.
    pub(crate) async fn assert_nothing_forbidden(&self) {
        let found = self.find_forbidden().await;
        assert!(found.is_empty(), "{found:#?}");
    }

    /// Puts something into a column that takes anything.
    pub(crate) async fn plant(&self, value: &Value) {
        let sql = "UPDATE verifications SET parameters = $1";
        let done = sqlx::query(sql).bind(value).execute(self.db.pool()).await;
        assert_eq!(done.unwrap().rows_affected(), 1);
    }

    /// Each row that holds something forbidden, after its table's name.
    pub(crate) async fn find_forbidden(&self) -> Vec<String> {
        let sql = "SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = 'public'";
        let tables: Vec<String> = sqlx::query_scalar(sql)
            .fetch_all(self.db.pool())
            .await
            .unwrap();
        assert!(tables.len() >= 5, "{tables:?}");
        let mut found = Vec::new();
        for table in tables {
            let sql = format!("SELECT t::text FROM {table} t WHERE t::text ~ $1");
            let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .bind(FORBIDDEN)
                .fetch_all(self.db.pool())
                .await
                .unwrap();
            found.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        found
    }
}

fn name(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap();
    format!("{} {}", text("id"), text("type"))
}
