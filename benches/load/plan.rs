//! The lives of many sessions, as the events that tell them: the same number always gives the same event.

use std::collections::HashSet;

use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use sqlx::{PgConnection, query};

/// Every life has as many events.
const EVENTS_OF_A_SESSION: u32 = 5;
/// A person has this many sessions, one after the other.
const SESSIONS_OF_A_PERSON: u32 = 2;
/// So many people one after the other have all kinds of lives.
const KINDS_OF_PEOPLE: u32 = 5;
/// Of so many sessions one is a stranger's: nobody here made it.
const STRANGERS: u32 = 20;
/// Of so many sessions one is known by its attempt alone: its events link it.
const UNLINKED: u32 = 15;
/// The second in which the first life begins.
const BEGINNING: i64 = 1_790_000_000;

/// So many sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    sessions: u32,
}

/// What one event of a life says.
struct Step {
    kind: &'static str,
    status: &'static str,
    /// Seconds since the life began.
    after: i64,
    code: Option<&'static str>,
    /// Which report it names.
    report: Option<u32>,
}

impl Plan {
    /// As many sessions as give `events` events, or a few more.
    pub(crate) fn of_events(events: u32) -> Self {
        Self {
            sessions: events.div_ceil(EVENTS_OF_A_SESSION),
        }
    }

    /// How many events there are.
    pub(crate) fn events(self) -> u32 {
        self.sessions * EVENTS_OF_A_SESSION
    }

    /// How many people there are.
    pub(crate) fn people(self) -> u32 {
        self.sessions.div_ceil(SESSIONS_OF_A_PERSON)
    }

    /// Every event `copies` times, in an order that depends on `seed` alone.
    pub(crate) fn shuffled(self, copies: u32, seed: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..copies).flat_map(|_| 0..self.events()).collect();
        order.shuffle(&mut StdRng::seed_from_u64(seed));
        order
    }

    /// The events of every tenth person, so that of all kinds of lives there is a tenth.
    pub(crate) fn shuffled_tenth(self, seed: u64) -> Vec<u32> {
        let mut order = self.shuffled(1, seed);
        order.retain(|event| {
            let person = event / EVENTS_OF_A_SESSION / SESSIONS_OF_A_PERSON;
            (person / KINDS_OF_PEOPLE).is_multiple_of(10)
        });
        order
    }

    /// Every event once, as Stripe told them: by second, and within one as they are numbered.
    pub(crate) fn in_order(self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.events()).collect();
        order.sort_by_key(|&event| (second(event), event));
        order
    }

    /// The people and their attempts, as if each had clicked; some sessions are strangers' or not linked yet.
    pub(crate) async fn seed(self, db: &mut PgConnection) {
        self.insert(db, false).await;
    }

    /// The same, and every session is known as somebody's: each event does all that an event can do.
    pub(crate) async fn seed_known(self, db: &mut PgConnection) {
        self.insert(db, true).await;
    }

    async fn insert(self, db: &mut PgConnection, all_known: bool) {
        query(
            "INSERT INTO users (id, realm, external_id)
             SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'load', 'person ' || n
             FROM generate_series(0, $1) n",
        )
        .bind(i64::from(self.people()) - 1)
        .execute(&mut *db)
        .await
        .unwrap();
        query(
            "INSERT INTO verifications (id, user_id, livemode, client, session_id, created_at)
             SELECT ('00000000-0000-4000-a000-' || lpad(to_hex(n), 12, '0'))::uuid,
                    ('00000000-0000-4000-8000-' || lpad(to_hex(n / $2), 12, '0'))::uuid, false, 'modal',
                    CASE WHEN $6 OR n % $4 <> 1 THEN 'vs_' || n END, to_timestamp($5 + n)
             FROM generate_series(0, $1) n WHERE $6 OR n % $3 <> 0",
        )
        .bind(i64::from(self.sessions) - 1)
        .bind(i64::from(SESSIONS_OF_A_PERSON))
        .bind(i64::from(STRANGERS))
        .bind(i64::from(UNLINKED))
        .bind(BEGINNING)
        .bind(all_known)
        .execute(&mut *db)
        .await
        .unwrap();
        // Without it, the first thousands of lookups are planned for empty tables.
        query("ANALYZE users, verifications")
            .execute(db)
            .await
            .unwrap();
    }
}

/// An event's id.
pub(crate) fn id(event: u32) -> String {
    format!("evt_{event}")
}

/// The numbers of these ids.
pub(crate) fn numbers<'a>(ids: impl Iterator<Item = &'a str>) -> HashSet<u32> {
    ids.filter_map(|id| id.strip_prefix("evt_")?.parse().ok())
        .collect()
}

/// The event as Stripe writes it.
pub(crate) fn body(event: u32) -> String {
    let (id, second, kind) = (id(event), second(event), step(event).kind);
    let session = session(event).replace('\n', "\n    ");
    format!(
        r#"{{
  "id": "{id}",
  "object": "event",
  "api_version": "2026-07-29.dahlia",
  "created": {second},
  "data": {{
    "object": {session}
  }},
  "livemode": false,
  "pending_webhooks": 1,
  "request": {{
    "id": "req_{event}",
    "idempotency_key": null
  }},
  "type": "identity.verification_session.{kind}"
}}"#
    )
}

/// The session as it was then.
fn session(event: u32) -> String {
    let session = event / EVENTS_OF_A_SESSION;
    let (step, attempt, created) = (step(event), attempt(session), began(session));
    let status = step.status;
    let error = step.code.map_or("null".to_owned(), |code| {
        format!(r#"{{"code": "{code}", "reason": "The check did not pass."}}"#)
    });
    let report = step.report.map_or("null".to_owned(), |n| {
        format!(r#""vr_{}""#, session * 2 + n)
    });
    let redaction = match step.kind {
        "redacted" => r#"{"status": "redacted"}"#,
        _ => "null",
    };
    format!(
        r#"{{
  "id": "vs_{session}",
  "object": "identity.verification_session",
  "client_reference_id": "{attempt}",
  "client_secret": null,
  "created": {created},
  "last_error": {error},
  "last_verification_report": {report},
  "livemode": false,
  "metadata": {{
    "verigate_attempt": "{attempt}"
  }},
  "options": {{
    "document": {{
      "allowed_types": ["driving_license", "id_card", "passport"],
      "require_id_number": false,
      "require_live_capture": true,
      "require_matching_selfie": true
    }}
  }},
  "redaction": {redaction},
  "related_customer": null,
  "related_person": null,
  "status": "{status}",
  "type": "document",
  "url": null
}}"#
    )
}

/// The same text as Postgres makes of it in [`Plan::seed`].
fn attempt(session: u32) -> String {
    // A stranger names nobody we know, as one made in the Dashboard does.
    if session.is_multiple_of(STRANGERS) {
        return "made in the Dashboard".to_owned();
    }
    format!("00000000-0000-4000-a000-{session:012x}")
}

fn began(session: u32) -> i64 {
    BEGINNING + i64::from(session)
}

fn second(event: u32) -> i64 {
    began(event / EVENTS_OF_A_SESSION) + step(event).after
}

/// Most pass at once or at the second try; a few have what makes a status hard to tell.
fn step(event: u32) -> Step {
    let (session, n) = (event / EVENTS_OF_A_SESSION, event % EVENTS_OF_A_SESSION);
    let plain = |kind, after| Step {
        kind,
        status: match kind {
            "created" => "requires_input",
            "redacted" | "reviewed" => "verified",
            kind => kind,
        },
        after,
        code: None,
        report: None,
    };
    let passed = |after, report| Step {
        report: Some(report),
        ..plain("verified", after)
    };
    let failed = |after, code, report| Step {
        code: Some(code),
        report: Some(report),
        ..plain("requires_input", after)
    };
    let (blurred, expired) = ("document_unverified_other", "document_expired");
    match (session % 10, n) {
        (_, 0) => plain("created", 0),
        (_, 1) => plain("processing", 40),
        (0..=6, 2) => failed(45, blurred, 0),
        (0..=6, 3) => plain("processing", 90),
        // Passed at the second try.
        (0..=5, 4) => passed(95, 1),
        // Failed twice.
        (6, 4) => failed(95, expired, 1),
        (7 | 9, 2) => passed(45, 0),
        // Passed, erased, and an event of a type that nobody knows.
        (7, 3) => plain("redacted", 200),
        (7, 4) => plain("reviewed", 210),
        // Called off, after a check that failed in the very second in which it began.
        (8, 2) => failed(40, expired, 0),
        (8, 3) => plain("canceled", 60),
        (8, 4) => plain("processing", 41),
        // Passed, and overridden by a reviewer, twice.
        (_, 3) => failed(100, blurred, 0),
        (_, _) => passed(150, 0),
    }
}
