//! Every API call the sandbox saw, so that tests can count what Stripe would have seen.

use std::collections::VecDeque;

use serde::Serialize;

/// More than the longest test makes; older calls are forgotten and counted.
const MOST_CALLS: usize = 10_000;

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progress {
    /// Arrived, not yet answered.
    Running,
    /// Answered with a status.
    Answered,
    /// The connection was cut on purpose.
    Cut,
    /// Never answered on purpose.
    Held,
}

/// One call. It has no body, no query and no secret.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) at_ms: i64,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) endpoint: &'static str,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) request_id: String,
    pub(crate) version: Option<String>,
    pub(crate) progress: Progress,
    /// Whether its effect has happened, answered or not.
    pub(crate) executed: bool,
    pub(crate) status: Option<u16>,
    pub(crate) replayed: bool,
}

/// The calls, oldest first.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: VecDeque<Entry>,
    next: u64,
    forgotten: u64,
}

impl Ledger {
    /// Notes a call on arrival; the number finds it again.
    pub(crate) fn open(&mut self, entry: impl FnOnce(u64) -> Entry) -> u64 {
        if self.entries.len() >= MOST_CALLS {
            self.entries.pop_front();
            self.forgotten += 1;
        }
        self.next += 1;
        self.entries.push_back(entry(self.next));
        self.next
    }

    /// Notes that a call had its effect.
    pub(crate) fn executed(&mut self, number: u64) {
        if let Some(entry) = self.find(number) {
            entry.executed = true;
        }
    }

    /// Notes how a call ended; one cleared meanwhile is nobody's business any more.
    pub(crate) fn close(&mut self, number: u64, progress: Progress, status: u16, replayed: bool) {
        if let Some(entry) = self.find(number) {
            entry.progress = progress;
            entry.status = (progress == Progress::Answered).then_some(status);
            entry.replayed = replayed;
        }
    }

    fn find(&mut self, number: u64) -> Option<&mut Entry> {
        let mut newest_first = self.entries.iter_mut().rev();
        newest_first.find(|entry| entry.number == number)
    }

    pub(crate) fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.forgotten = 0;
    }
}

/// The address as it may be kept: as it came, unless somebody put a secret or nonsense into it.
pub(crate) fn shown_path(path: &str, endpoint: &str) -> String {
    let plain = path.len() <= 200
        && !path.contains("_secret_")
        && !path.contains("/ek_")
        && path
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c));
    if plain { path } else { endpoint }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_an_address_is_not_kept() {
        for path in [
            "/v1/identity/verification_sessions/vs_1_secret_test_x",
            "/v1/ephemeral_keys/ek_test_x",
            "/v1/identity/verification_sessions/%41",
        ] {
            assert_eq!(shown_path(path, "/v1/{x}"), "/v1/{x}");
        }
        assert_eq!(
            shown_path("/v1/events/evt_1", "/v1/{x}"),
            "/v1/events/evt_1"
        );
    }
}
