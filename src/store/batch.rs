//! News of any number of sessions, written by a few statements: a batch costs hardly more than one delivery.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{ANYBODY, NewMessage, STATUS_CHANNEL, StoreError, Tx, Verification};
use crate::domain::{AttemptId, PersonState, Status, UserId, Verdict};

/// Postgres takes payloads below 8000 bytes; an id has 32, and a comma.
const MOST_NOTIFIED: usize = 240;

/// All that follows from what one transaction was told. Its people, and with them their attempts, are locked.
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
    /// What applications are told, in the order in which they fetch it.
    pub messages: Vec<NewMessage>,
    /// Attempts that no report can come of any more.
    pub over: Vec<AttemptId>,
}

/// What came of saving news.
#[derive(Debug, Default)]
pub struct Outgrown {
    /// Attempts that have a new report. What was reserved for it is spent.
    pub reported: Vec<AttemptId>,
    /// Those that are over and still hold a reservation, which is the caller's to release.
    pub holding: Vec<AttemptId>,
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

/// A value as JSON.
///
/// # Errors
/// When it has no form in JSON, which is a bug.
pub fn encode(value: &impl Serialize) -> Result<String, StoreError> {
    let text = serde_json::to_string(value);
    text.map_err(|error| StoreError::Data(sqlx::Error::Encode(error.into())))
}

/// A column of many rows.
pub(super) fn all<'a, R, T>(rows: &'a [R], read: impl FnMut(&'a R) -> T) -> Vec<T> {
    rows.iter().map(read).collect()
}

/// Saves it all in one statement, for each one is a way to Postgres and back that every delivery waits for. Every report
/// named is saved, and every listening process told when the transaction commits.
///
/// The lists are unnested in `SELECT` rather than in `FROM`, where Postgres would store each column by itself first.
#[expect(
    clippy::too_many_lines,
    reason = "it is one statement, and most of it is its columns"
)]
pub async fn save_news(tx: &mut Tx, news: &News<'_>) -> Result<Outgrown, StoreError> {
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
    let (messages, due) = (&news.messages, due(&news.messages));
    let since = |second: i64| DateTime::<Utc>::from_timestamp(second, 0);
    let saved = sqlx::query!(
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
               FROM (SELECT UNNEST($1::uuid[]) AS id, UNNEST($2::text[]) AS status, UNNEST($3::text[]) AS error_code,
                            UNNEST($4::text[]) AS report_id, UNNEST($5::bigint[]) AS verdict_second,
                            UNNEST($6::text[]) AS redaction, UNNEST($7::bigint[]) AS event_second,
                            UNNEST($8::text[]) AS events_told, UNNEST($9::bigint[]) AS verified_second,
                            UNNEST($10::bigint[]) AS read_as_of, UNNEST($11::bigint[]) AS read_until,
                            UNNEST($12::text[]) AS reads_told, UNNEST($13::text[]) AS unknown_status,
                            UNNEST($14::integer[]) AS hinted, UNNEST($15::integer[]) AS answered,
                            UNNEST($16::boolean[]) AS doubtful, UNNEST($17::float8[]) AS refresh_in,
                            UNNEST($18::integer[]) AS refresh_tries, UNNEST($19::boolean[]) AS gone,
                            UNNEST($20::boolean[]) AS current) AS t
               WHERE v.id = t.id),
           noted AS (
               INSERT INTO verification_history (verification_id, from_status, to_status, cause, at)
               SELECT UNNEST($21::uuid[]), UNNEST($22::text[]), UNNEST($23::text[]), UNNEST($24::text[]),
                      clock_timestamp()),
           -- As `outbox_place()`, which Postgres would read and plan anew each time.
           here AS MATERIALIZED (
               SELECT (pg_current_xact_id()::text::bigint + ahead)::text::xid8 AS place FROM outbox_feed),
           derived AS (
               UPDATE users u SET status = p.status, verified_at = p.verified_at, sequence = p.sequence,
                      updated_at = CASE WHEN u.status = p.status THEN u.updated_at ELSE clock_timestamp() END,
                      -- Who locks a person last may have begun first. What is told of them stands in its own order.
                      told_at = GREATEST(u.told_at, here.place)
               FROM here, (SELECT UNNEST($25::uuid[]) AS id, UNNEST($26::text[]) AS status,
                            UNNEST($27::timestamptz[]) AS verified_at, UNNEST($34::bigint[]) AS sequence) AS p
               WHERE u.id = p.id
               RETURNING u.id, u.told_at),
           reported AS (
               INSERT INTO verification_reports (report_id, verification_id, livemode, cost)
               SELECT UNNEST($28::text[]), UNNEST($29::uuid[]), UNNEST($30::boolean[]), $31
               ON CONFLICT (report_id) DO NOTHING RETURNING verification_id),
           -- What this very statement writes it does not see.
           spent AS (
               UPDATE reservations r SET spent_at = now()
               WHERE r.verification_id IN (SELECT verification_id FROM reported)
                 AND COALESCE(r.spent_at, r.released_at) IS NULL
                 AND r.reports < (SELECT count(*) FROM verification_reports WHERE verification_id = r.verification_id)
                     + (SELECT count(*) FROM reported WHERE verification_id = r.verification_id)),
           told AS (
               INSERT INTO outbox (id, user_id, sequence, livemode, type, data, transaction)
               SELECT m.id, m.user_id, m.sequence, m.livemode, m.type, m.data::jsonb,
                      COALESCE(derived.told_at, (SELECT place FROM here))
               FROM (SELECT UNNEST($35::uuid[]) AS id, UNNEST($36::uuid[]) AS user_id,
                            UNNEST($37::bigint[]) AS sequence, UNNEST($38::boolean[]) AS livemode,
                            UNNEST($39::text[]) AS type, UNNEST($40::text[]) AS data) AS m
                    LEFT JOIN derived ON derived.id = m.user_id),
           sent AS (
               INSERT INTO outbox_deliveries (endpoint, user_id, sequence, message_id)
               SELECT d.endpoint, ($36::uuid[])[d.place], ($37::bigint[])[d.place], ($35::uuid[])[d.place]
               FROM (SELECT UNNEST($41::integer[]) AS place, UNNEST($42::text[]) AS endpoint) AS d),
           announced AS (
               SELECT pg_notify($32, $33)::text WHERE $33 <> '')
           -- Whatever is announced has to be read: Postgres leaves out what nobody looks at.
           SELECT verification_id AS "id?", true AS "reported!" FROM reported
           UNION ALL SELECT NULL, false FROM announced
           UNION ALL SELECT DISTINCT verification_id, false FROM reservations
                     WHERE verification_id = ANY($43) AND COALESCE(spent_at, released_at) IS NULL"#,
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
        // Ids made one after the other ascend.
        &all(messages, |_| Uuid::now_v7()),
        &all(messages, |it| it.user.0),
        &all(messages, |it| it.sequence),
        &all(messages, |it| it.livemode),
        &all(messages, |it| it.kind.as_str()) as &[&str],
        &all(messages, |it| it.data.as_str()) as &[&str],
        &all(&due, |(place, _)| *place),
        &all(&due, |(_, endpoint)| *endpoint) as &[&str],
        &all(&news.over, |attempt| attempt.0),
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut outgrown = Outgrown::default();
    for row in saved {
        let attempts = if row.reported {
            &mut outgrown.reported
        } else {
            &mut outgrown.holding
        };
        attempts.extend(row.id.map(AttemptId));
    }
    Ok(outgrown)
}

/// Where each message goes, by its place among them, as Postgres counts.
fn due(messages: &[NewMessage]) -> Vec<(i32, &str)> {
    let placed = (1_i32..).zip(messages);
    let due = placed.flat_map(|(place, message)| {
        let endpoints = message.endpoints.iter();
        endpoints.map(move |endpoint| (place, endpoint.as_str()))
    });
    due.collect()
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
