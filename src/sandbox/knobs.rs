//! How the sandbox behaves when nothing goes wrong: its delays and limits.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Changed by `POST /_settings` with only the members to change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Knobs {
    /// How long an async case stays in `processing`.
    pub(crate) async_delay_ms: u32,
    /// From `redaction.status=processing` to `redacted`.
    pub(crate) redaction_delay_ms: u32,
    /// Before the second delivery of an event; each later one takes twice as long.
    pub(crate) retry_delay_ms: u32,
    /// How often a delivery is tried in all.
    pub(crate) delivery_attempts: u32,
    /// How long a receiver may take to answer.
    pub(crate) delivery_timeout_ms: u32,
    /// How long a call that is never answered is held.
    pub(crate) hold_ms: u32,
    /// Calls a second on one endpoint before a 429; 0 is no limit.
    pub(crate) calls_per_second: u32,
    /// Whether the sync cases tell `.processing` first.
    pub(crate) sync_processing: bool,
    /// Whether declining, no camera and the like tell `.requires_input`.
    pub(crate) decline_events: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            async_delay_ms: 2_000,
            redaction_delay_ms: 2_000,
            retry_delay_ms: 1_000,
            delivery_attempts: 8,
            delivery_timeout_ms: 10_000,
            hold_ms: 90_000,
            calls_per_second: 0,
            sync_processing: false,
            decline_events: true,
        }
    }
}

impl Knobs {
    /// These knobs with some members changed.
    pub(crate) fn changed(&self, change: Value) -> Result<Self, serde_json::Error> {
        let mut whole = serde_json::to_value(self)?;
        match (&mut whole, change) {
            (Value::Object(whole), Value::Object(change)) => whole.extend(change),
            (_, other) => whole = other,
        }
        serde_json::from_value(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_touches_only_what_it_names() {
        let changed = Knobs::default()
            .changed(json!({ "async_delay_ms": 5 }))
            .unwrap();
        assert_eq!(changed.async_delay_ms, 5);
        assert_eq!(changed.redaction_delay_ms, 2_000);
        for wrong in [json!({ "typo": 1 }), json!({ "hold_ms": -1 }), json!([])] {
            assert!(Knobs::default().changed(wrong).is_err());
        }
    }
}
