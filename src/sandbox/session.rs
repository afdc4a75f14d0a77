//! A `VerificationSession`: its state, and the single-use secrets that open it.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;
use url::Url;

use super::{
    codes::Code,
    ids::{ID_LENGTH, random},
    shelf::Identified,
    time::second,
};

const SECRET_LIVES_MS: i64 = 24 * 3_600_000;
const URL_LIVES_MS: i64 = 48 * 3_600_000;
/// Many tabs may hold one each; the oldest stop working first.
const MOST_PASSES: usize = 64;

/// Stripe's statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    RequiresInput,
    Processing,
    Verified,
    Canceled,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::RequiresInput => "requires_input",
            Self::Processing => "processing",
            Self::Verified => "verified",
            Self::Canceled => "canceled",
        }
    }
}

/// How far a redaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redaction {
    Processing,
    Redacted,
}

impl Redaction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Redacted => "redacted",
        }
    }
}

/// A client secret and an address handed out together.
pub(crate) struct Pass {
    pub(crate) client_secret: String,
    pub(crate) token: String,
    issued_ms: i64,
}

/// What the running checks will say; `None` is that all pass.
pub(crate) type Verdict = Option<&'static Code>;

/// One session.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) kind: String,
    pub(crate) status: Status,
    pub(crate) last_error: Option<&'static Code>,
    pub(crate) report: Option<String>,
    pub(crate) options: Value,
    pub(crate) provided_details: Value,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) client_reference_id: Option<String>,
    pub(crate) related_customer: Option<String>,
    pub(crate) related_customer_account: Option<String>,
    pub(crate) related_person: Option<Value>,
    pub(crate) verification_flow: Option<String>,
    pub(crate) redaction: Option<Redaction>,
    pub(crate) return_url: Option<Url>,
    pub(crate) passes: VecDeque<Pass>,
    /// Counts submissions, so that a late verdict cannot land on a later one.
    pub(crate) attempt: u32,
    pub(crate) pending: Option<Verdict>,
}

impl Identified for Session {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Session {
    pub(crate) fn new(kind: String, now_ms: i64) -> Self {
        Self {
            id: super::ids::id("vs"),
            created: second(now_ms),
            kind,
            status: Status::RequiresInput,
            last_error: None,
            report: None,
            options: Value::Null,
            provided_details: Value::Null,
            metadata: BTreeMap::new(),
            client_reference_id: None,
            related_customer: None,
            related_customer_account: None,
            related_person: None,
            verification_flow: None,
            redaction: None,
            return_url: None,
            passes: VecDeque::new(),
            attempt: 0,
            pending: None,
        }
    }

    /// May a person still go through it?
    pub(crate) fn is_open(&self) -> bool {
        self.status == Status::RequiresInput && self.redaction.is_none()
    }

    /// A fresh secret and address; the earlier ones go on working until used.
    pub(crate) fn issue_pass(&mut self, now_ms: i64) {
        if self.passes.len() >= MOST_PASSES {
            self.passes.pop_front();
        }
        self.passes.push_back(Pass {
            client_secret: format!("{}_secret_test_{}", self.id, random(32)),
            token: format!("{}{}", self.id.trim_start_matches("vs_"), random(32)),
            issued_ms: now_ms,
        });
    }

    /// The newest secret that still works.
    pub(crate) fn client_secret(&self, now_ms: i64) -> Option<&str> {
        let pass = self.newest_pass()?;
        (now_ms - pass.issued_ms < SECRET_LIVES_MS).then_some(pass.client_secret.as_str())
    }

    /// The newest address that still works, as its token.
    pub(crate) fn token(&self, now_ms: i64) -> Option<&str> {
        let pass = self.newest_pass()?;
        (now_ms - pass.issued_ms < URL_LIVES_MS).then_some(pass.token.as_str())
    }

    fn newest_pass(&self) -> Option<&Pass> {
        self.passes.back().filter(|_| self.is_open())
    }

    /// The pass an address belongs to, while it works.
    pub(crate) fn pass_of_token(&self, token: &str, now_ms: i64) -> Option<&Pass> {
        self.passes
            .iter()
            .find(|pass| pass.token == token && now_ms - pass.issued_ms < URL_LIVES_MS)
    }

    /// The pass a client secret belongs to, while it works.
    pub(crate) fn pass_of_secret(&self, secret: &str, now_ms: i64) -> Option<&Pass> {
        self.passes
            .iter()
            .find(|pass| pass.client_secret == secret && now_ms - pass.issued_ms < SECRET_LIVES_MS)
    }
}

/// The session id that a hosted page's token begins with.
pub(crate) fn id_of_token(token: &str) -> Option<String> {
    let well_formed = token.len() > ID_LENGTH && token.chars().all(|c| c.is_ascii_alphanumeric());
    well_formed.then(|| format!("vs_{}", &token[..ID_LENGTH]))
}

/// The session id that a client secret begins with.
pub(crate) fn id_of_secret(secret: &str) -> Option<&str> {
    secret.split_once("_secret_").map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_works_until_it_is_too_old_and_earlier_ones_with_it() {
        let mut session = Session::new("document".to_owned(), 0);
        session.issue_pass(0);
        let secret = session.client_secret(0).unwrap().to_owned();
        let token = session.token(0).unwrap().to_owned();
        session.issue_pass(1000);
        assert_ne!(session.client_secret(1000), Some(secret.as_str()));
        assert!(session.pass_of_secret(&secret, 1000).is_some());
        assert!(session.pass_of_secret(&secret, SECRET_LIVES_MS).is_none());
        assert!(session.pass_of_token(&token, SECRET_LIVES_MS).is_some());
        assert!(session.pass_of_token(&token, URL_LIVES_MS).is_none());
        assert_eq!(id_of_token(&token), Some(session.id.clone()));
        assert_eq!(id_of_secret(&secret), Some(session.id.as_str()));
    }

    #[test]
    fn nothing_opens_a_session_that_is_not_open() {
        let mut session = Session::new("document".to_owned(), 0);
        session.issue_pass(0);
        session.status = Status::Canceled;
        assert_eq!(session.client_secret(0), None);
        assert_eq!(session.token(0), None);
    }
}
