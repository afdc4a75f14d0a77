//! What a healer found, and how long it had been wrong.

use serde::{Deserialize, Serialize};

/// How a wrong status was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealedBy {
    /// By an event that no delivery brought.
    Event,
    /// In Stripe's list of sessions, though there was no event.
    List,
    /// By looking for the session of an attempt that had none.
    Search,
}

impl HealedBy {
    /// A word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::List => "list",
            Self::Search => "search",
        }
    }
}

/// What was read, and what of it was news.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealReport {
    /// Sessions whose status was wrong.
    pub healed: u64,
    /// Those told by events.
    pub by_event: u64,
    /// Those found in the list of sessions.
    pub by_list: u64,
    /// Those found for attempts that had none.
    pub by_search: u64,
    /// The longest that one had been wrong, as far as can be known: since its event, else since its row last changed.
    pub longest_wrong_seconds: u64,
    /// All of that together.
    pub wrong_seconds_in_all: u64,
    /// Sessions that nobody here made and nobody here knew of.
    pub strangers: u64,
    /// Events read.
    pub events_read: u64,
    /// Those that no delivery had brought.
    pub events_new: u64,
    /// Sessions read in lists.
    pub sessions_read: u64,
    /// Attempts without a session that were looked for.
    pub attempts_searched: u64,
    /// Items of Stripe's that could not be read, or not be saved.
    pub unreadable: u64,
    /// Questions put to Stripe.
    pub requests: u64,
    /// How long it took.
    pub took_seconds: f64,
}

impl HealReport {
    pub(super) fn healed(&mut self, by: HealedBy, wrong_seconds: i64) {
        self.healed += 1;
        match by {
            HealedBy::Event => self.by_event += 1,
            HealedBy::List => self.by_list += 1,
            HealedBy::Search => self.by_search += 1,
        }
        // Stripe's clock may be ahead of the database's.
        let seconds = u64::try_from(wrong_seconds).unwrap_or(0);
        self.longest_wrong_seconds = self.longest_wrong_seconds.max(seconds);
        self.wrong_seconds_in_all += seconds;
        metrics::counter!("verigate_healed_total", "by" => by.as_str()).increment(1);
        metrics::histogram!("verigate_healed_after_seconds").record(measured(seconds));
    }

    pub(super) fn unreadable(&mut self, many: usize) {
        self.unreadable += count(many);
    }

    /// How long one had been wrong on average.
    pub fn average_wrong_seconds(&self) -> u64 {
        self.wrong_seconds_in_all
            .checked_div(self.healed)
            .unwrap_or(0)
    }

    pub(super) fn measure(&self) {
        metrics::counter!("verigate_heal_unreadable_total").increment(self.unreadable);
    }

    /// One line a round; a piece of the long sweep has one only if there is something to tell.
    pub(super) fn log(&self, of_round: bool) {
        if !of_round && self.healed + self.strangers + self.unreadable == 0 {
            return;
        }
        tracing::info!(
            healed = self.healed,
            by_event = self.by_event,
            by_list = self.by_list,
            by_search = self.by_search,
            longest_wrong_s = self.longest_wrong_seconds,
            average_wrong_s = self.average_wrong_seconds(),
            strangers = self.strangers,
            events_read = self.events_read,
            events_new = self.events_new,
            sessions_read = self.sessions_read,
            unreadable = self.unreadable,
            requests = self.requests,
            "looked for what deliveries missed"
        );
    }
}

pub(super) fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a measurement may be off by one in 2^53"
)]
fn measured(seconds: u64) -> f64 {
    seconds as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_adds_up_and_takes_no_clock_at_its_word() {
        let mut report = HealReport::default();
        assert_eq!(report.average_wrong_seconds(), 0);
        report.healed(HealedBy::Event, 100);
        report.healed(HealedBy::List, 20);
        report.healed(HealedBy::Search, -5);
        let by = (report.by_event, report.by_list, report.by_search);
        assert_eq!((report.healed, by), (3, (1, 1, 1)));
        assert_eq!(report.longest_wrong_seconds, 100);
        assert_eq!(report.average_wrong_seconds(), 40);
    }
}
