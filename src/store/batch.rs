//! News of any number of sessions, written by a few statements: a batch costs hardly more than one delivery.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    ANYBODY, STATUS_CHANNEL, StoreError, Tx, Verification,
    verifications::{VerificationRow, texts},
};
use crate::domain::{
    self, AttemptId, Detail, Knowledge, MessageType, PersonState, SessionId, Status, UserId,
};

/// Postgres takes payloads below 8000 bytes; an id has 32, and a comma.
const MOST_NOTIFIED: usize = 240;

/// All that follows from what one transaction was told. Everything in it is locked.
#[derive(Debug, Default)]
pub struct News<'a> {
    /// What is known of attempts now, and when Stripe is asked next; none clears it.
    pub verifications: Vec<(&'a Verification, Option<Duration>)>,
    /// What a report costs.
    pub price: u64,
    /// Lines for the history.
    pub history: Vec<Noted<'a>>,
    /// People whose derived status is not as it was saved, or whom there are messages about.
    pub people: Vec<(UserId, PersonState)>,
    /// What applications are told, each person's in the order of their numbers.
    pub messages: Vec<NewMessage>,
    /// Those who see something new.
    pub notified: BTreeSet<UserId>,
}

/// A line of an attempt's history.
#[derive(Clone, Copy, Debug)]
pub struct Noted<'a> {
    /// The attempt.
    pub attempt: AttemptId,
    /// The status before.
    pub from: Option<Status>,
    /// The status after.
    pub to: Option<Status>,
    /// Why.
    pub cause: &'a str,
}

/// A message to applications, not yet written.
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
    /// What it says.
    pub data: Value,
    /// Whom it is delivered to.
    pub endpoints: Vec<String>,
}

/// All of it, as the statement reads it.
#[derive(Serialize)]
struct Written<'a> {
    verifications: Vec<Saved<'a>>,
    reports: Vec<Reported<'a>>,
    history: Vec<Line<'a>>,
    people: Vec<Derived>,
    messages: Vec<Told<'a>>,
    deliveries: Vec<Due<'a>>,
}

#[derive(Serialize)]
struct Told<'a> {
    id: Uuid,
    user_id: Uuid,
    sequence: i64,
    livemode: bool,
    kind: &'static str,
    data: &'a Value,
}

#[derive(Serialize)]
struct Due<'a> {
    endpoint: &'a str,
    user_id: Uuid,
    sequence: i64,
    message_id: Uuid,
}

#[derive(Serialize)]
struct Reported<'a> {
    report: &'a str,
    attempt: Uuid,
}

#[derive(Serialize)]
struct Line<'a> {
    attempt: Uuid,
    from_status: Option<&'static str>,
    to_status: Option<&'static str>,
    cause: &'a str,
}

#[derive(Serialize)]
struct Derived {
    id: Uuid,
    status: &'static str,
    verified_second: Option<i64>,
    messages: usize,
}

impl<'a> Written<'a> {
    fn of(news: &'a News<'a>) -> Self {
        let rows = news.verifications.iter();
        let reports = rows.clone().flat_map(|(row, _)| {
            row.knowledge.reports.iter().map(|report| Reported {
                report,
                attempt: row.id.0,
            })
        });
        let history = news.history.iter().map(|noted| Line {
            attempt: noted.attempt.0,
            from_status: noted.from.map(Status::as_str),
            to_status: noted.to.map(Status::as_str),
            cause: noted.cause,
        });
        let people = news.people.iter().map(|(user, state)| Derived {
            id: user.0,
            status: state.status.as_str(),
            verified_second: state.verified_at_second,
            messages: news.messages.iter().filter(|it| it.user == *user).count(),
        });
        let messages: Vec<Told<'a>> = news.messages.iter().map(Told::of).collect();
        let deliveries = news.messages.iter().zip(&messages);
        let deliveries = deliveries.flat_map(|(message, told)| {
            message.endpoints.iter().map(|endpoint| Due {
                endpoint,
                user_id: told.user_id,
                sequence: told.sequence,
                message_id: told.id,
            })
        });
        Self {
            deliveries: deliveries.collect(),
            reports: reports.collect(),
            verifications: rows.map(|(row, due)| Saved::of(row, *due)).collect(),
            history: history.collect(),
            people: people.collect(),
            messages,
        }
    }
}

impl<'a> Told<'a> {
    /// Ids made one after the other ascend.
    fn of(message: &'a NewMessage) -> Self {
        Self {
            id: Uuid::now_v7(),
            user_id: message.user.0,
            sequence: message.sequence,
            livemode: message.livemode,
            kind: message.kind.as_str(),
            data: &message.data,
        }
    }
}

/// An attempt as saved. The derived columns are computed here, so that they cannot differ from the maxima.
#[derive(Serialize)]
struct Saved<'a> {
    id: Uuid,
    status: Option<&'static str>,
    error_code: Option<String>,
    report_id: Option<String>,
    verdict_second: Option<i64>,
    redaction: &'static str,
    event_second: Option<i64>,
    events_told: Option<&'a BTreeMap<domain::Told, Detail>>,
    verified_second: Option<i64>,
    read_as_of: Option<i64>,
    read_until: Option<i64>,
    reads_told: Option<&'a BTreeMap<Status, Detail>>,
    unknown_status: Option<&'a str>,
    hinted: i32,
    answered: i32,
    doubtful: bool,
    refresh_in: Option<f64>,
    refresh_tries: i32,
    gone: bool,
    current: bool,
}

impl<'a> Saved<'a> {
    fn of(verification: &'a Verification, refresh_in: Option<Duration>) -> Self {
        let known: &Knowledge = &verification.knowledge;
        let (events, reads) = (known.events.as_ref(), known.reads.as_ref());
        let verdict = known.verdict();
        Self {
            id: verification.id.0,
            status: verdict.as_ref().map(|verdict| verdict.status.as_str()),
            verdict_second: verification.verdict_second,
            redaction: known.redaction.as_str(),
            event_second: events.map(|events| events.second),
            events_told: events.map(|events| &events.told),
            verified_second: known.verified_second,
            read_as_of: reads.map(|reads| reads.as_of),
            read_until: reads.map(|reads| reads.until),
            reads_told: reads.map(|reads| &reads.read),
            unknown_status: verification.unknown_status.as_deref(),
            hinted: verification.hinted,
            answered: verification.answered,
            doubtful: known.doubt().is_some() && !verification.gone,
            refresh_in: refresh_in.map(|delay| delay.as_secs_f64()),
            refresh_tries: verification.refresh_tries,
            gone: verification.gone,
            current: verification.current,
            error_code: verdict.as_ref().and_then(|verdict| verdict.error.clone()),
            report_id: verdict.and_then(|verdict| verdict.report),
        }
    }
}

/// Locks every attempt of these people, who are locked, and the rows of these sessions, by ascending key.
pub async fn lock_attempts(
    tx: &mut Tx,
    users: &[UserId],
    sessions: &[SessionId],
) -> Result<Vec<Verification>, StoreError> {
    let users: Vec<Uuid> = users.iter().map(|user| user.0).collect();
    let sessions = texts(sessions);
    let rows = sqlx::query_as!(
        VerificationRow,
        r#"SELECT id, user_id, parameters, policy, policies_asked, details_version, session_id, livemode,
                  status, verdict_second, redaction, event_second, events_told, verified_second, read_as_of, read_until,
                  reads_told, unknown_status, hinted, answered, refresh_tries, gone_at, current, created_at,
                  created_at < now() - interval '20 hours' AS "key_may_have_expired!"
           FROM verifications WHERE user_id = ANY($1) OR session_id = ANY($2) ORDER BY id FOR UPDATE"#,
        &users,
        &sessions,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(Verification::try_from).collect()
}

/// Saves it all in one statement, every report named included, and tells every listening process when the transaction
/// commits. Gives the attempts that have a new report; what was reserved for it is the caller's to spend.
pub async fn save_news(tx: &mut Tx, news: &News<'_>) -> Result<Vec<AttemptId>, StoreError> {
    let written = written(news)?;
    let reported = sqlx::query_scalar!(
        r#"WITH told AS (
               SELECT * FROM jsonb_to_recordset($1::jsonb->'verifications') AS t (
                   id uuid, status text, error_code text, report_id text, verdict_second bigint, redaction text,
                   event_second bigint, events_told jsonb, verified_second bigint, read_as_of bigint, read_until bigint,
                   reads_told jsonb, unknown_status text, hinted integer, answered integer, doubtful boolean,
                   refresh_in float8, refresh_tries integer, gone boolean, current boolean)),
           saved AS (
               UPDATE verifications v SET
                   status = t.status, error_code = t.error_code, report_id = t.report_id,
                   verdict_second = t.verdict_second, redaction = t.redaction,
                   event_second = t.event_second, events_told = t.events_told, verified_second = t.verified_second,
                   read_as_of = t.read_as_of, read_until = t.read_until, reads_told = t.reads_told,
                   unknown_status = t.unknown_status, hinted = t.hinted, answered = t.answered,
                   doubt_since = CASE WHEN t.doubtful THEN COALESCE(v.doubt_since, now()) END,
                   refresh_due_at = now() + make_interval(secs => t.refresh_in), refresh_tries = t.refresh_tries,
                   gone_at = CASE WHEN t.gone THEN COALESCE(v.gone_at, now()) END,
                   current = t.current, updated_at = now()
               FROM told t WHERE v.id = t.id),
           noted AS (
               INSERT INTO verification_history (verification_id, from_status, to_status, cause, at)
               SELECT n.attempt, n.from_status, n.to_status, n.cause, clock_timestamp()
               FROM jsonb_to_recordset($1::jsonb->'history')
                   AS n (attempt uuid, from_status text, to_status text, cause text)),
           derived AS (
               UPDATE users u SET status = p.status, verified_at = to_timestamp(p.verified_second),
                      updated_at = CASE WHEN u.status = p.status THEN u.updated_at ELSE clock_timestamp() END,
                      sequence = u.sequence + p.messages
               FROM jsonb_to_recordset($1::jsonb->'people')
                   AS p (id uuid, status text, verified_second bigint, messages integer)
               WHERE u.id = p.id),
           told_of AS (
               INSERT INTO outbox (id, user_id, sequence, livemode, type, data)
               SELECT m.id, m.user_id, m.sequence, m.livemode, m.kind, m.data
               FROM jsonb_to_recordset($1::jsonb->'messages')
                   AS m (id uuid, user_id uuid, sequence bigint, livemode boolean, kind text, data jsonb)),
           due AS (
               INSERT INTO outbox_deliveries (endpoint, user_id, sequence, message_id)
               SELECT d.endpoint, d.user_id, d.sequence, d.message_id
               FROM jsonb_to_recordset($1::jsonb->'deliveries')
                   AS d (endpoint text, user_id uuid, sequence bigint, message_id uuid)),
           reported AS (
               INSERT INTO verification_reports (report_id, verification_id, livemode, cost)
               SELECT r.report, v.id, v.livemode, $2 FROM jsonb_to_recordset($1::jsonb->'reports') AS r (report text, attempt uuid)
               JOIN verifications v ON v.id = r.attempt ORDER BY r.report
               ON CONFLICT (report_id) DO NOTHING RETURNING verification_id),
           announced AS (SELECT pg_notify($3, $4)::text WHERE $4 <> '')
           -- Whatever is announced has to be read: Postgres leaves out what nobody looks at.
           SELECT verification_id AS "id?" FROM reported UNION ALL SELECT NULL FROM announced"#,
        written,
        i64::try_from(news.price).unwrap_or(i64::MAX),
        STATUS_CHANNEL,
        payload(&news.notified),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(reported.into_iter().flatten().map(AttemptId).collect())
}

fn written(news: &News<'_>) -> Result<Value, StoreError> {
    let written = serde_json::to_value(Written::of(news));
    written.map_err(|error| StoreError::Data(sqlx::Error::Encode(error.into())))
}

/// Whom to tell of; empty for nobody.
fn payload(users: &BTreeSet<UserId>) -> String {
    if users.len() > MOST_NOTIFIED {
        return ANYBODY.to_owned();
    }
    let ids: Vec<String> = users.iter().map(|u| u.0.simple().to_string()).collect();
    ids.join(",")
}
