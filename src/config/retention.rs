//! How long what is only looked up is kept.

use std::ops::RangeInclusive;

use super::reader::{Advice, Noted, Reader};

/// In days. What decides a status is kept for good: verifications, their reports, and people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// `RETAIN_EVENTS_DAYS`: Stripe's deliveries.
    pub events_days: i32,
    /// `RETAIN_HISTORY_DAYS`: the history of verifications.
    pub history_days: i32,
    /// `RETAIN_MESSAGES_DAYS`: messages that every endpoint has taken.
    pub messages_days: i32,
    /// `RETAIN_DEAD_MESSAGES_DAYS`: messages that an endpoint never took.
    pub dead_messages_days: i32,
}

const LONGEST: i32 = 3650;
/// Stripe lists events for 30 days: one that is heard of again must still be known by then.
const EVENTS: RangeInclusive<i32> = 30..=LONGEST;
const HISTORY: RangeInclusive<i32> = 1..=LONGEST;
/// A message is tried for three days, and fetched whenever the application comes round to it.
const MESSAGES: RangeInclusive<i32> = 3..=LONGEST;

impl RetentionConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Noted> {
        let events_days = read_days(reader, "RETAIN_EVENTS_DAYS", EVENTS, 90);
        let history_days = read_days(reader, "RETAIN_HISTORY_DAYS", HISTORY, 365);
        let messages_days = read_days(reader, "RETAIN_MESSAGES_DAYS", MESSAGES, 30);
        let dead_messages_days = read_days(reader, "RETAIN_DEAD_MESSAGES_DAYS", MESSAGES, 90);
        Ok(Self {
            events_days: events_days?,
            history_days: history_days?,
            messages_days: messages_days?,
            dead_messages_days: dead_messages_days?,
        })
    }
}

fn read_days(
    reader: &mut Reader<'_>,
    name: &'static str,
    range: RangeInclusive<i32>,
    usual: i32,
) -> Result<i32, Noted> {
    let found = reader.parsed(name, |text| {
        let days = text.parse().ok().filter(|days| range.contains(days));
        days.ok_or_else(|| {
            Advice::from(format!(
                "is not a number of days from {} to {}",
                range.start(),
                range.end()
            ))
        })
    });
    Ok(found?.unwrap_or(usual))
}
