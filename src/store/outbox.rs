//! Messages to applications: fetched in an order that nobody can miss one by, or delivered one after the other.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{Db, Owner, StoreError};
use crate::domain::{MessageType, UserId};

/// A message to applications, not yet written: its person is locked, and its number goes on where their last one ended.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// About whom.
    pub user: UserId,
    /// Its number among the messages about them.
    pub sequence: i64,
    /// Of live or test mode.
    pub livemode: bool,
    /// What it is about.
    pub kind: MessageType,
    /// What it says, as JSON.
    pub data: String,
    /// Whom it is delivered to.
    pub endpoints: Vec<String>,
}

/// A place in the order in which messages are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which transaction wrote it.
    pub transaction: i64,
    /// The message.
    pub id: Uuid,
}

/// A message, as written.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where it stands.
    pub position: Position,
    /// Its number among the messages about its person.
    pub sequence: i64,
    /// Of live or test mode.
    pub livemode: bool,
    /// What it is about.
    pub kind: MessageType,
    /// What it says.
    pub data: Value,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// Which messages are asked for.
#[derive(Clone, Copy, Debug)]
pub struct MessageListing<'a> {
    /// Only later ones.
    pub after: Option<Position>,
    /// Only those about this person, by the application's own id.
    pub external_id: Option<&'a str>,
    /// Only those of this type.
    pub kind: Option<MessageType>,
    /// At most so many.
    pub limit: i64,
}

impl Message {
    /// Its id, as applications know it.
    pub fn name(&self) -> String {
        format!("msg_{}", self.position.id.simple())
    }
}

pub(super) struct MessageRow {
    pub(super) id: Uuid,
    pub(super) transaction: i64,
    pub(super) sequence: i64,
    pub(super) livemode: bool,
    pub(super) kind: String,
    pub(super) data: Value,
    pub(super) created_at: DateTime<Utc>,
}

impl TryFrom<MessageRow> for Message {
    type Error = StoreError;

    fn try_from(row: MessageRow) -> Result<Self, StoreError> {
        Ok(Self {
            kind: MessageType::parse(&row.kind).ok_or(StoreError::Inconsistent {
                table: "outbox",
                column: "type",
                id: row.id,
            })?,
            position: Position {
                transaction: row.transaction,
                id: row.id,
            },
            sequence: row.sequence,
            livemode: row.livemode,
            data: row.data,
            created_at: row.created_at,
        })
    }
}

/// The messages to an application, oldest first, and the last place at which none can appear any more. One is shown once
/// no transaction that began before its own is under way: otherwise an earlier one could still appear behind whoever
/// reads on.
pub async fn list_messages(
    db: &Db,
    owner: Owner<'_>,
    listing: MessageListing<'_>,
) -> Result<(Vec<Message>, Position), StoreError> {
    let mut tx = db.begin_planned().await?;
    let open = sqlx::query_scalar!(
        r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + ahead AS "open!" FROM outbox_feed"#
    )
    .fetch_one(&mut *tx)
    .await?;
    let rows = sqlx::query_as!(
        MessageRow,
        r#"SELECT o.id, o.transaction::text::bigint AS "transaction!", o.sequence, o.livemode, o.type AS kind, o.data,
                  o.created_at
           FROM outbox o JOIN users u ON u.id = o.user_id
           WHERE u.realm = $1 AND o.livemode = $2
             AND ($3::bigint IS NULL OR (o.transaction, o.id) > ($3::bigint::text::xid8, $4::uuid))
             AND ($5::text IS NULL OR u.external_id = $5)
             AND ($6::text IS NULL OR o.type = $6)
             AND o.transaction < $8::bigint::text::xid8
           ORDER BY o.transaction, o.id LIMIT $7"#,
        owner.realm,
        owner.livemode,
        listing.after.map(|after| after.transaction),
        listing.after.map(|after| after.id),
        listing.external_id,
        listing.kind.map(MessageType::as_str),
        listing.limit,
        open,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let messages = rows.into_iter().map(Message::try_from);
    let settled = Position {
        transaction: open - 1,
        id: Uuid::max(),
    };
    Ok((messages.collect::<Result<_, _>>()?, settled))
}

/// By how much places go ahead in a cluster that is another one: further than any cursor was given out since the copy of the
/// database was made.
const FAR: i64 = 1 << 32;

/// Goes on ahead of every cursor that was given out, if the database was restored: in another cluster, or in an earlier
/// state of this one.
pub(super) async fn continue_feed(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let cluster = find_cluster(connection).await?;
    let came = sqlx::query_scalar!(
        r#"SELECT cluster IS DISTINCT FROM COALESCE($1, cluster)
                  OR EXISTS (SELECT FROM outbox WHERE transaction >= outbox_place()) AS "came!" FROM outbox_feed"#,
        cluster,
    )
    .fetch_one(&mut *connection)
    .await?;
    if !came {
        return Ok(());
    }
    let mut tx = connection.begin().await?;
    // Whoever has looked where it stands writes there first.
    sqlx::query!("LOCK TABLE outbox_feed")
        .execute(&mut *tx)
        .await?;
    let moved = sqlx::query_scalar!(
        r#"UPDATE outbox_feed f
           SET cluster = COALESCE($1, f.cluster),
               ahead = CASE WHEN f.cluster <> $1 OR last.place >= here.place
                   THEN f.ahead + GREATEST(last.place - here.place, 0) + $2 ELSE f.ahead END
           FROM (SELECT outbox_place()::text::bigint AS place) AS here,
                (SELECT COALESCE(max(transaction::text::bigint), 0) AS place
                 FROM (SELECT transaction FROM outbox ORDER BY transaction DESC LIMIT 1) AS newest) AS last,
                outbox_feed AS before
           RETURNING f.ahead > before.ahead AS "moved!""#,
        cluster,
        FAR,
    )
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;
    if moved == Some(true) {
        tracing::warn!(
            "the database was restored, or moved to another server: /v1/events goes on ahead of every cursor"
        );
    }
    Ok(())
}

/// The cluster, and which of its histories it is in: one that goes on from a backup, or in place of another, begins a new one.
/// None where it does not tell.
async fn find_cluster(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) AS "cluster!"
           FROM pg_control_system()"#
    )
    .fetch_one(connection)
    .await;
    match found {
        Ok(cluster) => Ok(Some(cluster)),
        Err(sqlx::Error::Database(error)) => {
            tracing::debug!(%error, "the database does not tell which cluster it is in");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
