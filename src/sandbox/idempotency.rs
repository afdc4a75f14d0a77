//! Results kept for their `Idempotency-Key`, and what a second call with the same key gets.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::refusal::Refusal;

/// Stripe keeps a key for at least a day.
const KEPT_MS: i64 = 24 * 3_600_000;
const MOST_KEYS: usize = 10_000;

/// A finished call: its status and body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

struct Kept {
    parameters: String,
    since_ms: i64,
    /// `None` while the first call runs.
    answer: Option<Answer>,
}

/// What a call with a key finds.
pub(crate) enum Claim {
    /// The key is this call's: run, then [`Keys::settle`].
    Mine,
    /// The key has a result already.
    Replay(Answer),
}

/// The keys of the last day.
#[derive(Default)]
pub(crate) struct Keys {
    kept: HashMap<String, Kept>,
    order: VecDeque<(i64, String)>,
}

impl Keys {
    /// Claims `key` for a call described by `parameters` (method, address, form).
    pub(crate) fn claim(
        &mut self,
        key: &str,
        parameters: String,
        now_ms: i64,
    ) -> Result<Claim, Refusal> {
        self.forget_before(now_ms - KEPT_MS);
        let Some(kept) = self.kept.get(key) else {
            let since_ms = now_ms;
            self.order.push_back((since_ms, key.to_owned()));
            self.kept.insert(
                key.to_owned(),
                Kept {
                    parameters,
                    since_ms,
                    answer: None,
                },
            );
            return Ok(Claim::Mine);
        };
        if kept.parameters != parameters {
            return Err(Refusal::new(
                400,
                "idempotency_error",
                "This idempotency key was first used with other parameters; use a new one.",
            )
            .unexecuted());
        }
        match &kept.answer {
            Some(answer) => Ok(Claim::Replay(answer.clone())),
            None => Err(Refusal::new(
                409,
                "invalid_request_error",
                "The first call with this idempotency key is still running.",
            )
            .code("idempotency_key_in_use")
            .unexecuted()),
        }
    }

    /// Keeps the result, or frees the key when nothing was run.
    pub(crate) fn settle(&mut self, key: &str, answer: Option<Answer>) {
        match answer {
            Some(answer) => {
                if let Some(kept) = self.kept.get_mut(key) {
                    kept.answer = Some(answer);
                }
            }
            None => {
                self.kept.remove(key);
            }
        }
    }

    fn forget_before(&mut self, oldest_ms: i64) {
        while let Some((since_ms, _)) = self.order.front() {
            if *since_ms > oldest_ms && self.order.len() < MOST_KEYS {
                break;
            }
            let Some((since_ms, key)) = self.order.pop_front() else {
                break;
            };
            // A freed key may have been claimed again since.
            if self.kept.get(&key).is_some_and(|k| k.since_ms == since_ms) {
                self.kept.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(keys: &mut Keys, parameters: &str, now_ms: i64) -> Result<Claim, Refusal> {
        keys.claim("k", parameters.to_owned(), now_ms)
    }

    #[test]
    fn a_key_runs_once_then_replays_for_a_day() {
        let mut keys = Keys::default();
        assert!(matches!(claim(&mut keys, "a", 0), Ok(Claim::Mine)));
        let in_use = claim(&mut keys, "a", 1).err().unwrap();
        assert_eq!(in_use.status, 409);
        keys.settle(
            "k",
            Some(Answer {
                status: 500,
                body: Value::Null,
            }),
        );
        let Ok(Claim::Replay(answer)) = claim(&mut keys, "a", KEPT_MS - 1) else {
            panic!("not replayed");
        };
        assert_eq!(answer.status, 500);
        let other = claim(&mut keys, "b", 2).err().unwrap();
        assert_eq!(other.kind, "idempotency_error");
        assert!(matches!(claim(&mut keys, "b", KEPT_MS), Ok(Claim::Mine)));
    }

    #[test]
    fn a_freed_key_can_be_used_with_other_parameters() {
        let mut keys = Keys::default();
        assert!(matches!(claim(&mut keys, "a", 0), Ok(Claim::Mine)));
        keys.settle("k", None);
        assert!(matches!(claim(&mut keys, "b", 0), Ok(Claim::Mine)));
    }
}
