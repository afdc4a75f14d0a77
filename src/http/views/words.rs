//! Numbers and times in words.

use chrono::{DateTime, Utc};

/// When it is worth trying again.
pub(super) fn wait(seconds: Option<u64>) -> String {
    match seconds {
        None | Some(0) => "in a few minutes".to_owned(),
        Some(1) => "in a second".to_owned(),
        Some(n @ 2..=59) => format!("in {n} seconds"),
        Some(60..=89) => "in about a minute".to_owned(),
        Some(n @ 90..=5399) => format!("in about {} minutes", (n + 30) / 60),
        Some(n @ 5400..=129_599) => format!("in about {} hours", (n + 1800) / 3600),
        Some(n @ 129_600..) => format!("in about {} days", n.div_ceil(86_400)),
    }
}

/// How many tries are left.
pub(super) fn tries(left: u32) -> String {
    match left {
        1 => "You can try once more.".to_owned(),
        n => {
            const WORDS: [&str; 8] = [
                "two", "three", "four", "five", "six", "seven", "eight", "nine",
            ];
            let word = left.checked_sub(2).and_then(|i| WORDS.get(i as usize));
            match word {
                Some(w) => format!("You can try {w} more times."),
                None => format!("You can try {n} more times."),
            }
        }
    }
}

/// A moment for people; the zone is named because we do not know theirs.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y at %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_the_unit_people_think_in() {
        for (seconds, words) in [
            (None, "in a few minutes"),
            (Some(0), "in a few minutes"),
            (Some(1), "in a second"),
            (Some(59), "in 59 seconds"),
            (Some(60), "in about a minute"),
            (Some(89), "in about a minute"),
            (Some(90), "in about 2 minutes"),
            (Some(5399), "in about 90 minutes"),
            (Some(5400), "in about 2 hours"),
            (Some(129_599), "in about 36 hours"),
            (Some(129_600), "in about 2 days"),
            (Some(2_678_400), "in about 31 days"),
        ] {
            assert_eq!(wait(seconds), words);
        }
    }

    #[test]
    fn tries_are_counted_in_words() {
        assert_eq!(tries(1), "You can try once more.");
        assert_eq!(tries(2), "You can try two more times.");
        assert_eq!(tries(9), "You can try nine more times.");
        assert_eq!(tries(10), "You can try 10 more times.");
    }

    #[test]
    fn a_moment_names_its_zone() {
        let at = DateTime::from_timestamp(1_795_441_500, 0).unwrap();
        assert_eq!(moment(at), "23 November 2026 at 13:45 UTC");
    }
}
