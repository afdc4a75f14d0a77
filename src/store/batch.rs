//! News of any number of sessions, written by a few statements: a batch costs hardly more than one delivery.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    ANYBODY, STATUS_CHANNEL, StoreError, Tx, Verification,
    verifications::{VerificationRow, texts},
};
use crate::domain::{AttemptId, PersonState, SessionId, Status, UserId, Verdict};

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
    /// People who are not as they were saved, each with the number of the last message about them.
    pub people: Vec<(UserId, PersonState, i64)>,
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

/// An attempt as saved. The derived columns are computed here, so that they cannot differ from the maxima.
struct Saved<'a> {
    row: &'a Verification,
    verdict: Option<Verdict>,
    events_told: Option<String>,
    reads_told: Option<String>,
    refresh_in: Option<f64>,
}

impl<'a> Saved<'a> {
    fn of((row, refresh_in): &(&'a Verification, Option<Duration>)) -> Result<Self, StoreError> {
        let known = &row.knowledge;
        let (events, reads) = (known.events.as_ref(), known.reads.as_ref());
        Ok(Self {
            row,
            verdict: known.verdict(),
            events_told: events.map(|events| encode(&events.told)).transpose()?,
            reads_told: reads.map(|reads| encode(&reads.read)).transpose()?,
            refresh_in: refresh_in.map(|delay| delay.as_secs_f64()),
        })
    }

    fn is_doubtful(&self) -> bool {
        self.row.knowledge.doubt().is_some() && !self.row.gone
    }
}

fn encode(told: &impl Serialize) -> Result<String, StoreError> {
    let text = serde_json::to_string(told);
    text.map_err(|error| StoreError::Data(sqlx::Error::Encode(error.into())))
}

/// A column of many rows.
fn all<'a, R, T>(rows: &'a [R], read: impl FnMut(&'a R) -> T) -> Vec<T> {
    rows.iter().map(read).collect()
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
#[expect(
    clippy::too_many_lines,
    reason = "it is one statement, and most of it is its columns"
)]
pub async fn save_news(tx: &mut Tx, news: &News<'_>) -> Result<Vec<AttemptId>, StoreError> {
    let rows = news.verifications.iter().map(Saved::of);
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let (lines, people, reports) = (&news.history, &news.people, reports(news));
    let events = |saved: &Saved<'_>| saved.row.knowledge.events.as_ref().map(|e| e.second);
    let reads = |saved: &Saved<'_>| {
        saved
            .row
            .knowledge
            .reads
            .as_ref()
            .map(|r| (r.as_of, r.until))
    };
    let since = |second: i64| DateTime::<Utc>::from_timestamp(second, 0);
    let reported = sqlx::query_scalar!(
        r#"WITH saved AS (
               UPDATE verifications v SET
                   status = t.status, error_code = t.error_code, report_id = t.report_id,
                   verdict_second = t.verdict_second, redaction = t.redaction,
                   event_second = t.event_second, events_told = t.events_told::jsonb,
                   verified_second = t.verified_second,
                   read_as_of = t.read_as_of, read_until = t.read_until, reads_told = t.reads_told::jsonb,
                   unknown_status = t.unknown_status, hinted = t.hinted, answered = t.answered,
                   doubt_since = CASE WHEN t.doubtful THEN COALESCE(v.doubt_since, now()) END,
                   refresh_due_at = now() + make_interval(secs => t.refresh_in), refresh_claimed_by = NULL,
                   refresh_tries = t.refresh_tries,
                   gone_at = CASE WHEN t.gone THEN COALESCE(v.gone_at, now()) END,
                   current = t.current, updated_at = now()
               FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[],
                           $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::text[],
                           $14::integer[], $15::integer[], $16::boolean[], $17::float8[], $18::integer[],
                           $19::boolean[], $20::boolean[])
                   AS t (id, status, error_code, report_id, verdict_second, redaction, event_second,
                         events_told, verified_second, read_as_of, read_until, reads_told, unknown_status,
                         hinted, answered, doubtful, refresh_in, refresh_tries, gone, current)
               WHERE v.id = t.id),
           noted AS (
               INSERT INTO verification_history (verification_id, from_status, to_status, cause, at)
               SELECT n.attempt, n.from_status, n.to_status, n.cause, clock_timestamp()
               FROM UNNEST($21::uuid[], $22::text[], $23::text[], $24::text[])
                   AS n (attempt, from_status, to_status, cause)),
           derived AS (
               UPDATE users u SET status = p.status, verified_at = p.verified_at, sequence = p.sequence,
                      updated_at = CASE WHEN u.status = p.status THEN u.updated_at ELSE clock_timestamp() END
               FROM UNNEST($25::uuid[], $26::text[], $27::timestamptz[], $34::bigint[])
                   AS p (id, status, verified_at, sequence)
               WHERE u.id = p.id),
           reported AS (
               INSERT INTO verification_reports (report_id, verification_id, livemode, cost)
               SELECT r.report, r.attempt, r.livemode, $31
               FROM UNNEST($28::text[], $29::uuid[], $30::boolean[]) AS r (report, attempt, livemode)
               ON CONFLICT (report_id) DO NOTHING RETURNING verification_id),
           announced AS (
               SELECT pg_notify($32, $33)::text WHERE $33 <> '')
           -- Whatever is announced has to be read: Postgres leaves out what nobody looks at.
           SELECT verification_id AS "id?" FROM reported UNION ALL SELECT NULL FROM announced"#,
        &all(&rows, |it| it.row.id.0),
        &all(&rows, |it| it.verdict.as_ref().map(|v| v.status.as_str())) as &[Option<&str>],
        &all(&rows, |it| it.verdict.as_ref().and_then(|v| v.error.as_deref())) as &[Option<&str>],
        &all(&rows, |it| it.verdict.as_ref().and_then(|v| v.report.as_deref())) as &[Option<&str>],
        &all(&rows, |it| it.row.verdict_second) as &[Option<i64>],
        &all(&rows, |it| it.row.knowledge.redaction.as_str()) as &[&str],
        &all(&rows, events) as &[Option<i64>],
        &all(&rows, |it| it.events_told.as_deref()) as &[Option<&str>],
        &all(&rows, |it| it.row.knowledge.verified_second) as &[Option<i64>],
        &all(&rows, |it| reads(it).map(|read| read.0)) as &[Option<i64>],
        &all(&rows, |it| reads(it).map(|read| read.1)) as &[Option<i64>],
        &all(&rows, |it| it.reads_told.as_deref()) as &[Option<&str>],
        &all(&rows, |it| it.row.unknown_status.as_deref()) as &[Option<&str>],
        &all(&rows, |it| it.row.hinted),
        &all(&rows, |it| it.row.answered),
        &all(&rows, Saved::is_doubtful),
        &all(&rows, |it| it.refresh_in) as &[Option<f64>],
        &all(&rows, |it| it.row.refresh_tries),
        &all(&rows, |it| it.row.gone),
        &all(&rows, |it| it.row.current),
        &all(lines, |line| line.attempt.0),
        &all(lines, |line| line.from.map(Status::as_str)) as &[Option<&str>],
        &all(lines, |line| line.to.map(Status::as_str)) as &[Option<&str>],
        &all(lines, |line| line.cause) as &[&str],
        &all(people, |(user, ..)| user.0),
        &all(people, |(_, state, _)| state.status.as_str()) as &[&str],
        &all(people, |(_, state, _)| state.verified_at_second.and_then(since))
            as &[Option<DateTime<Utc>>],
        &all(&reports, |(report, _)| *report) as &[&str],
        &all(&reports, |(_, row)| row.id.0),
        &all(&reports, |(_, row)| row.livemode),
        i64::try_from(news.price).unwrap_or(i64::MAX),
        STATUS_CHANNEL,
        payload(&news.notified),
        &all(people, |(.., sequence)| *sequence),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(reported.into_iter().flatten().map(AttemptId).collect())
}

/// Every report that was named, by ascending id, and the attempt it is of.
fn reports<'a>(news: &News<'a>) -> Vec<(&'a str, &'a Verification)> {
    let rows = news.verifications.iter();
    let named = rows.flat_map(|(row, _)| {
        let reports = row.knowledge.reports.iter();
        reports.map(|report| (report.as_str(), *row))
    });
    let mut named: Vec<_> = named.collect();
    named.sort_unstable_by_key(|(report, _)| *report);
    named
}

/// Whom to tell of; empty for nobody.
fn payload(users: &BTreeSet<UserId>) -> String {
    if users.len() > MOST_NOTIFIED {
        return ANYBODY.to_owned();
    }
    let ids: Vec<String> = users.iter().map(|u| u.0.simple().to_string()).collect();
    ids.join(",")
}
