//! Numbers and times in words.

use chrono::{DateTime, Utc};

/// When it is worth trying again.
pub(super) fn wait(seconds: Option<u64>) -> String {
    match seconds {
        None | Some(0) => "in a few minutes".to_owned(),
        Some(1) => "in a second".to_owned(),
        Some(n @ 2..=59) => format!("in {n} seconds"),
        Some(60..=89) => "in about a minute".to_owned(),
        Some(n @ 90..=5369) => format!("in about {} minutes", (n + 30) / 60),
        Some(5370..) => "in a few hours".to_owned(),
    }
}

/// How many tries are left.
pub(super) fn tries(left: u32) -> String {
    match left {
        1 => "You can try once more.".to_owned(),
        n => format!("You can try {n} more times."),
    }
}

/// A moment for people; the zone is named because we do not know theirs.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y at %H:%M UTC").to_string()
}
