//! `verigate heal`: looks for what no delivery told of, now and all of it.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
};

use super::database::{find_database, mode};
use crate::{app, config::Config, store::Holder, verification::HealReport};

/// Runs a round and prints what came of it.
pub(super) async fn run(lookup: impl Fn(&str) -> Option<String>, json: bool) -> anyhow::Result<()> {
    let config = Config::from_lookup(mode(&lookup), &lookup)?;
    let (url, _running) = find_database(&lookup).await?;
    let report = app::heal(config, &url, |holder| {
        // Nowhere is left to say it if this fails.
        let _ = writeln!(io::stderr(), "{}", waiting(holder));
    })
    .await?;
    let mut out = io::stdout();
    if json {
        writeln!(out, "{:#}", serde_json::to_value(&report)?)?;
    } else {
        write!(out, "{}", as_text(&report))?;
    }
    Ok(())
}

fn waiting(holder: &Holder) -> String {
    let since = holder.since.map_or(String::new(), |since| {
        format!(", since {}", since.format("%H:%M:%S UTC"))
    });
    format!(
        "worker {} of a server is at it{since}: waiting for it to finish",
        holder.worker
    )
}

fn as_text(report: &HealReport) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(&mut text, report);
    text
}

fn write_text(out: &mut String, report: &HealReport) -> fmt::Result {
    write!(out, "healed      {}", report.healed)?;
    if report.healed > 0 {
        let longest = duration(report.longest_wrong_seconds);
        let average = duration(report.average_wrong_seconds());
        write!(
            out,
            ", wrong for {longest} at most and {average} on average\n            "
        )?;
        let (by_event, by_list, by_search) = (report.by_event, report.by_list, report.by_search);
        write!(
            out,
            "{by_event} by events, {by_list} by the list of sessions, {by_search} by search"
        )?;
    }
    let (events, new) = (report.events_read, report.events_new);
    let (sessions, searched) = (report.sessions_read, report.attempts_searched);
    writeln!(
        out,
        "\nstrangers   {} sessions that nobody here made or knew of",
        report.strangers
    )?;
    writeln!(
        out,
        "read        {events} events ({new} new), {sessions} sessions; {searched} attempts searched for"
    )?;
    writeln!(out, "unreadable  {}", report.unreadable)?;
    let (asked, took) = (report.requests, report.took_seconds);
    writeln!(out, "asked       Stripe {asked} times in {took:.1} s")
}

/// As people say it.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_found_nothing_says_nought() {
        let text = as_text(&HealReport::default());
        assert!(text.starts_with("healed      0\nstrangers   0 "), "{text}");
        assert!(text.contains("unreadable  0\n"), "{text}");
    }

    #[test]
    fn how_long_it_was_wrong_is_told_as_people_say_it() {
        let report = HealReport {
            healed: 2,
            by_list: 2,
            longest_wrong_seconds: 7200,
            wrong_seconds_in_all: 7320,
            ..HealReport::default()
        };
        let text = as_text(&report);
        let first = "healed      2, wrong for 2 h at most and 61 min on average\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("0 by events, 2 by the list of sessions, 0 by search\n"));
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(200_000), "2 days");
    }
}
