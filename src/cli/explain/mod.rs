//! `verigate explain`: why is this person in this state, and what happens next?

mod json;
mod known;
mod next;
mod settings;
mod standing;

use std::fmt::Write as _;
use std::io::Write as _;

use chrono::{DateTime, Utc};
use serde_json::Value;

use self::{
    known::Known,
    next::error_code,
    settings::{Settings, find_config},
    standing::{Standing, mode},
};
use super::{database::find_database, redaction::write_redaction};
use crate::{
    domain::{SessionId, Status},
    store::{self, AttemptRecord, DeliveryRecord, HistoryRecord, PersonRecord, Usage},
};

/// Everything kept of one person, or of a session that belongs to nobody.
#[derive(Debug)]
pub(super) struct Explanation {
    person: Option<PersonRecord>,
    standings: Vec<Standing>,
    /// What counts against their limits, in the mode of the newest attempt that counts.
    usage: Option<Usage>,
    /// The mode of the server's keys, where they are known; attempts of the other one count for nothing.
    livemode: Option<bool>,
    /// Why the limits would refuse them a start now, where those are known.
    refusal: Option<String>,
    attempts: Vec<Attempt>,
}

#[derive(Debug)]
struct Attempt {
    record: AttemptRecord,
    history: Vec<HistoryRecord>,
    deliveries: Vec<DeliveryRecord>,
    /// It is of the mode that counts, as far as that is known.
    counts: bool,
    /// What happens next to it.
    next: String,
}

/// Prints it.
pub(super) async fn run(
    lookup: impl Fn(&str) -> Option<String>,
    subject: &str,
    json: bool,
) -> anyhow::Result<()> {
    let config = find_config(&lookup);
    let (url, _running) = find_database(&lookup).await?;
    let known = Known {
        db: store::connect(&url, 1)?,
        settings: config.and_then(|config| Settings::new(config, &url)),
    };
    let explanations = known.explain(subject).await?;
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

    /// What happens next, by the newest attempt that counts.
    fn next(&self) -> String {
        let of = |verified: bool| {
            let those = self.standings.iter();
            let those = those.filter(move |it| it.is_verified() == verified);
            those.map(Standing::to_string).collect::<Vec<_>>()
        };
        let (verified, others) = (of(true), of(false));
        let Some(newest) = self.attempts.iter().find(|it| it.counts) else {
            let (mode, refusal) = (self.livemode.map(mode), self.refusal.as_ref());
            let mode = mode.map_or(String::new(), |mode| format!(" in {mode} mode"));
            let refusal = refusal.map_or(String::new(), |refusal| format!("; {refusal}"));
            return format!("the person has not clicked Verify{mode} yet{refusal}");
        };
        let is_over = newest.record.status == Some(Status::Verified);
        if verified.is_empty() || !is_over && !others.is_empty() {
            return newest.next.clone();
        }
        let verified = verified.join(" and ");
        let nothing =
            format!("nothing: verified under {verified}, unless a reviewer at Stripe overrides it");
        if others.is_empty() {
            return nothing;
        }
        let click = "the person's next click makes a new session";
        let (others, click) = (
            others.join(" and "),
            self.refusal.as_deref().unwrap_or(click),
        );
        format!("{nothing}; under {others}: {click}")
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

impl Attempt {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let record = &self.record;
        let session = record
            .session_id
            .as_ref()
            .map_or("no session", SessionId::as_str);
        writeln!(out, "\nattempt {} · {session}", record.id)?;
        let mode = mode(record.livemode);
        let ignored = if self.counts {
            ""
        } else {
            ", which counts for nothing with the keys that are set"
        };
        let client = record.client.as_deref().unwrap_or("not ours");
        let current = if record.current { ", the open one" } else { "" };
        writeln!(
            out,
            "  made      {} by {client}, {mode} mode{ignored}{current}",
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
        writeln!(out, "  next      {}", self.next)?;
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
