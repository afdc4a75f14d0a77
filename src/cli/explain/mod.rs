//! `verigate explain`: why is this person in this state, and what happens next?

mod json;
mod standing;

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::bail;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use self::standing::{Standing, find_standings, mode};
use super::{database::find_database, redaction::write_redaction};
use crate::{
    domain::{AttemptId, SessionId, Status, UserId, advice, refresh::TRIES_BEFORE_ALARM},
    store::{
        self, AttemptRecord, Db, DeliveryRecord, HistoryRecord, PersonRecord, Usage, find_owner,
        find_person, find_session_owner, list_attempts, list_deliveries, list_history, list_people,
    },
};

/// Everything kept of one person, or of a session that belongs to nobody.
#[derive(Debug)]
pub(super) struct Explanation {
    person: Option<PersonRecord>,
    standings: Vec<Standing>,
    /// What counts against their limits, in the mode of their newest attempt.
    usage: Option<Usage>,
    attempts: Vec<Attempt>,
}

#[derive(Debug)]
struct Attempt {
    record: AttemptRecord,
    history: Vec<HistoryRecord>,
    deliveries: Vec<DeliveryRecord>,
}

/// Prints it.
pub(super) async fn run(
    lookup: impl Fn(&str) -> Option<String>,
    subject: &str,
    json: bool,
) -> anyhow::Result<()> {
    let (url, _running) = find_database(lookup).await?;
    let db = store::connect(&url, 1)?;
    let explanations = explain(&db, subject).await?;
    let mut out = std::io::stdout();
    if json {
        let all: Vec<Value> = explanations.iter().map(Explanation::to_json).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    } else {
        let all: Vec<String> = explanations.iter().map(Explanation::to_text).collect();
        write!(out, "{}", all.join("\n"))?;
    }
    Ok(())
}

/// Gathers what there is about an external id, a session's id, or one of ours.
pub(super) async fn explain(db: &Db, subject: &str) -> anyhow::Result<Vec<Explanation>> {
    let mut people = list_people(db, subject).await?;
    if people.is_empty()
        && let Some((attempt, owner)) = find_one(db, subject).await?
    {
        let Some(owner) = owner else {
            let records = list_attempts(db, None, Some(attempt)).await?;
            return Ok(vec![gather(db, None, records).await?]);
        };
        people.push(find_person(db, owner).await?);
    }
    if people.is_empty() {
        bail!(
            "nobody is called {subject:?} here, and no verification is: give the application's own id of a person, or a \
             vs_… id, or the id of a verification as the API tells it"
        );
    }
    let mut explanations = Vec::with_capacity(people.len());
    for person in people {
        let records = list_attempts(db, Some(person.id), None).await?;
        explanations.push(gather(db, Some(person), records).await?);
    }
    Ok(explanations)
}

/// The attempt that has this id or whose session has it, and its person; of a person's id, the person alone counts.
async fn find_one(
    db: &Db,
    subject: &str,
) -> Result<Option<(AttemptId, Option<UserId>)>, store::StoreError> {
    if let Ok(id) = Uuid::try_parse(subject) {
        let owner = find_owner(db, id).await?;
        return Ok(owner.map(|owner| (AttemptId(id), owner)));
    }
    match SessionId::parse(subject) {
        Some(session) => find_session_owner(db, &session).await,
        None => Ok(None),
    }
}

async fn gather(
    db: &Db,
    person: Option<PersonRecord>,
    records: Vec<AttemptRecord>,
) -> Result<Explanation, store::StoreError> {
    let usage = match (&person, records.first()) {
        (Some(person), Some(newest)) => {
            let mut tx = db.begin().await?;
            Some(store::find_usage(&mut tx, person.id, Some(newest.id), newest.livemode).await?)
        }
        _ => None,
    };
    let standings = match &person {
        Some(person) => find_standings(db, person.id, &records).await?,
        None => Vec::new(),
    };
    let mut attempts = Vec::with_capacity(records.len());
    for record in records {
        let history = list_history(db, record.id).await?;
        let deliveries = match &record.session_id {
            Some(session) => list_deliveries(db, session).await?,
            None => Vec::new(),
        };
        attempts.push(Attempt {
            record,
            history,
            deliveries,
        });
    }
    Ok(Explanation {
        person,
        standings,
        usage,
        attempts,
    })
}

impl Explanation {
    /// For people.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        match &self.person {
            Some(person) => {
                match person.forgotten_at {
                    Some(at) => writeln!(out, "somebody who was forgotten at {}", time(at))?,
                    None => writeln!(out, "{} (realm {})", person.external_id, person.realm)?,
                }
                self.write_standings(out)?;
                writeln!(out, "  changed   {}", time(person.updated_at))?;
            }
            None => writeln!(out, "a session that belongs to nobody here (unclaimed)")?,
        }
        if let Some(usage) = &self.usage {
            write_usage(out, usage)?;
        }
        writeln!(out, "  next      {}", self.next())?;
        if self.attempts.is_empty() {
            writeln!(out, "\nno attempts")?;
        }
        for attempt in &self.attempts {
            attempt.write(out)?;
        }
        Ok(())
    }

    fn write_standings(&self, out: &mut String) -> std::fmt::Result {
        if self.standings.is_empty() {
            writeln!(out, "  status    none")?;
        }
        for standing in &self.standings {
            let since = standing.state.verified_at_second;
            let since = since.map(|at| format!(", since {}", second(at)));
            let (status, since) = (standing.state.status.as_str(), since.unwrap_or_default());
            writeln!(out, "  status    {status} under {standing}{since}")?;
        }
        Ok(())
    }

    /// What happens next, by the newest attempt.
    fn next(&self) -> String {
        let verified = self.standings.iter().filter(|it| it.is_verified());
        let verified: Vec<String> = verified.map(Standing::to_string).collect();
        let others = self.standings.iter().filter(|it| !it.is_verified());
        let others: Vec<String> = others.map(Standing::to_string).collect();
        let Some(newest) = self.attempts.first() else {
            return "the person has not clicked Verify yet".to_owned();
        };
        if verified.is_empty()
            || newest.record.status != Some(Status::Verified) && !others.is_empty()
        {
            return next(&newest.record);
        }
        let nothing = format!(
            "nothing: verified under {}, unless a reviewer at Stripe overrides it",
            verified.join(" and ")
        );
        if others.is_empty() {
            nothing
        } else {
            let others = others.join(" and ");
            format!("{nothing}; under {others} the person's next click makes a new session")
        }
    }
}

/// The limits themselves are the server's to know: this command may run without its settings.
fn write_usage(out: &mut String, usage: &Usage) -> std::fmt::Result {
    let (today, ever) = (usage.today, usage.ever);
    write!(
        out,
        "  checks    {today} today, {ever} in all (ATTEMPTS_PER_DAY, ATTEMPTS_IN_TOTAL)"
    )?;
    if usage.reserved {
        write!(out, ", one more reserved")?;
    }
    if usage.extra_attempts > 0 {
        write!(out, ", {} allowed beyond", usage.extra_attempts)?;
    }
    writeln!(out)
}

fn error_code(record: &AttemptRecord) -> Option<String> {
    record.knowledge.verdict().and_then(|verdict| verdict.error)
}

/// Asked about so often in vain that somebody should look.
fn is_unsettled(record: &AttemptRecord) -> bool {
    let tries = u32::try_from(record.refresh_tries).unwrap_or(0);
    record.refresh_due_at.is_some() && tries >= TRIES_BEFORE_ALARM
}

/// What happens next to one attempt.
fn next(record: &AttemptRecord) -> String {
    if record.gone_at.is_some() {
        return "Stripe has no such session (another account or mode, or a restarted sandbox); \
                    the person's next click makes a new one"
            .to_owned();
    }
    if let Some(status) = &record.unknown_status {
        return format!(
            "Stripe says {status:?}, which this version does not know: upgrade Verigate"
        );
    }
    if let Some(due) = record.refresh_due_at {
        let asked = record.refresh_tries;
        if is_unsettled(record) {
            return format!(
                "Stripe was asked {asked} times and does not settle it: look at the session in Stripe's Dashboard; it is \
                 asked again at {}",
                time(due)
            );
        }
        return format!(
            "Stripe is asked at {} (asked {asked} times so far)",
            time(due)
        );
    }
    if let Some(until) = record.lease_until {
        return format!("a start is under way, until {} at the latest", time(until));
    }
    match record.status {
        _ if record.session_id.is_none() && !record.current => {
            "closed without a session; the person's next click makes a new attempt".to_owned()
        }
        None if record.session_id.is_none() => {
            "no session yet: the person's next click creates it".to_owned()
        }
        None => "nothing is known of the session yet; its events are awaited".to_owned(),
        Some(Status::RequiresInput) => match error_code(record) {
            Some(code) => {
                format!("the person is told: {}", advice(Some(&code)).reason)
            }
            None => "waiting for the person to hand in a document at Stripe".to_owned(),
        },
        Some(Status::Processing) => "Stripe checks the document; its event is awaited".to_owned(),
        Some(Status::Canceled) => "closed; the person's next click makes a new session".to_owned(),
        Some(Status::Verified) => "nothing: verified".to_owned(),
    }
}

impl Attempt {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let record = &self.record;
        let session = record
            .session_id
            .as_ref()
            .map_or("no session", SessionId::as_str);
        writeln!(out, "\nattempt {} · {session}", record.id)?;
        let mode = mode(record.livemode);
        let client = record.client.as_deref().unwrap_or("not ours");
        let current = if record.current { ", the open one" } else { "" };
        writeln!(
            out,
            "  made      {} by {client}, {mode} mode{current}",
            time(record.created_at)
        )?;
        write!(out, "  policy    {}", record.policy)?;
        if !record.policies_asked.is_empty() {
            let asked = record.policies_asked.join(" and ");
            write!(out, ", which Stripe was asked to change to {asked}")?;
        }
        writeln!(out)?;
        let status = record.status.map_or("nothing known", Status::as_str);
        let code = error_code(record)
            .map(|code| format!(" ({code})"))
            .unwrap_or_default();
        writeln!(out, "  status    {status}{code}")?;
        if let Some(doubt) = record.knowledge.doubt() {
            let since = record.doubt_since.map(time).unwrap_or_default();
            writeln!(out, "  doubt     {}, since {since}", doubt.as_str())?;
        }
        if record.open_hints > 0 {
            writeln!(
                out,
                "  hints     {} not yet answered by a look at Stripe",
                record.open_hints
            )?;
        }
        write_redaction(out, record)?;
        if let Some(gone) = record.gone_at {
            writeln!(out, "  gone      since {}", time(gone))?;
        }
        if !record.reports.is_empty() {
            writeln!(
                out,
                "  reports   {} ({})",
                record.reports.len(),
                record.reports.join(", ")
            )?;
        }
        self.write_told(out)?;
        writeln!(out, "  next      {}", next(record))?;
        self.write_journal(out)
    }

    fn write_journal(&self, out: &mut String) -> std::fmt::Result {
        for line in &self.history {
            // Most lines tell of a step, and only some of a change.
            let change = match (line.from.as_deref(), line.to.as_deref()) {
                (from, to) if from == to => String::new(),
                (from, to) => format!("{} → {}, ", from.unwrap_or("–"), to.unwrap_or("–")),
            };
            writeln!(out, "  history   {}: {change}{}", time(line.at), line.cause)?;
        }
        for event in &self.deliveries {
            let created = event
                .created
                .and_then(|second| DateTime::from_timestamp(second, 0));
            let created = created.map_or_else(|| "no time".to_owned(), time);
            let received = time(event.received_at);
            writeln!(
                out,
                "  event     {} {} of {created}, received {received}: {}",
                event.id, event.kind, event.outcome
            )?;
        }
        Ok(())
    }

    fn write_told(&self, out: &mut String) -> std::fmt::Result {
        let known = &self.record.knowledge;
        if let Some(events) = &known.events {
            let told: Vec<_> = events.told.keys().map(|told| told.as_str()).collect();
            writeln!(
                out,
                "  told      {} by events of {}",
                told.join(" and "),
                second(events.second)
            )?;
        }
        if let Some(reads) = &known.reads {
            let read: Vec<_> = reads.read.keys().map(|status| status.as_str()).collect();
            writeln!(
                out,
                "  read      {} as of {}",
                read.join(" and "),
                second(reads.as_of)
            )?;
        }
        Ok(())
    }
}

pub(super) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn second(second: i64) -> String {
    DateTime::from_timestamp(second, 0).map_or_else(|| second.to_string(), time)
}
