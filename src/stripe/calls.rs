//! The calls, one method each.

use reqwest::Method;
use uuid::Uuid;

use super::{
    Client, CreateSession, EphemeralKey, Event, List, ListEvents, ListSessions, Priority, Reply,
    StripeError, UpdateSession, VerificationSession, client::Call, form::Form,
};

const SESSIONS: [&str; 3] = ["v1", "identity", "verification_sessions"];
const EVENTS: [&str; 2] = ["v1", "events"];

impl Client {
    /// Creates a session, once per key however often it is asked: a second call with the same key
    /// gets the first one's answer, marked `replayed`.
    pub async fn create_session(
        &self,
        session: &CreateSession,
        idempotency_key: &str,
        priority: Priority,
    ) -> Result<Reply<VerificationSession>, StripeError> {
        let call = post("create_session", SESSIONS.to_vec(), session.form());
        self.call(call.with_key(idempotency_key).by(priority)).await
    }

    /// Reads a session; while it waits for the person, with a fresh secret and url.
    pub async fn retrieve_session(
        &self,
        id: &str,
        priority: Priority,
    ) -> Result<Reply<VerificationSession>, StripeError> {
        let path = object(&SESSIONS, id)?;
        let call = get("retrieve_session", path, Form::default());
        self.call(call.by(priority)).await
    }

    /// Changes a session that waits for the person.
    pub async fn update_session(
        &self,
        id: &str,
        change: &UpdateSession,
        priority: Priority,
    ) -> Result<Reply<VerificationSession>, StripeError> {
        let call = post("update_session", object(&SESSIONS, id)?, change.form());
        self.call(call.with_key(&random_key()).by(priority)).await
    }

    /// Lists sessions, newest first.
    pub async fn list_sessions(
        &self,
        list: &ListSessions,
        priority: Priority,
    ) -> Result<Reply<List<VerificationSession>>, StripeError> {
        let call = get("list_sessions", SESSIONS.to_vec(), list.form());
        self.call(call.by(priority)).await
    }

    /// Closes a session that waits for the person; for good.
    pub async fn cancel_session(
        &self,
        id: &str,
        priority: Priority,
    ) -> Result<Reply<VerificationSession>, StripeError> {
        let mut path = object(&SESSIONS, id)?;
        path.push("cancel");
        let call = post("cancel_session", path, Form::default());
        self.call(call.with_key(&random_key()).by(priority)).await
    }

    /// Has Stripe erase what a session collected; for good, and within days.
    pub async fn redact_session(
        &self,
        id: &str,
        priority: Priority,
    ) -> Result<Reply<VerificationSession>, StripeError> {
        let mut path = object(&SESSIONS, id)?;
        path.push("redact");
        let call = post("redact_session", path, Form::default());
        self.call(call.with_key(&random_key()).by(priority)).await
    }

    /// Makes a key with which a native SDK opens this one session, once.
    ///
    /// It has no idempotency key, for a replay would bring a spent key back; so it is not repeated
    /// when Stripe may have acted.
    pub async fn create_ephemeral_key(
        &self,
        session_id: &str,
        priority: Priority,
    ) -> Result<Reply<EphemeralKey>, StripeError> {
        let form = Form::default().with("verification_session", session_id);
        let call = post("create_ephemeral_key", vec!["v1", "ephemeral_keys"], form);
        self.call(call.by(priority)).await
    }

    /// Lists events, newest first; Stripe keeps 30 days of them.
    pub async fn list_events(
        &self,
        list: &ListEvents,
        priority: Priority,
    ) -> Result<Reply<List<Event>>, StripeError> {
        let call = get("list_events", EVENTS.to_vec(), list.form());
        self.call(call.by(priority)).await
    }
}

impl<'a> Call<'a> {
    fn with_key(mut self, key: &'a str) -> Self {
        self.idempotency_key = Some(key);
        self
    }

    fn by(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }
}

fn get<'a>(name: &'static str, path: Vec<&'a str>, form: Form) -> Call<'a> {
    Call {
        name,
        method: Method::GET,
        path,
        form,
        idempotency_key: None,
        priority: Priority::Job,
    }
}

fn post<'a>(name: &'static str, path: Vec<&'a str>, form: Form) -> Call<'a> {
    Call {
        method: Method::POST,
        ..get(name, path, form)
    }
}

/// Any id becomes one path segment, whatever is in it; these three would vanish from the path and
/// turn the call into another.
fn object<'a>(collection: &[&'a str], id: &'a str) -> Result<Vec<&'a str>, StripeError> {
    if matches!(id, "" | "." | "..") {
        return Err(StripeError::NoSuchId);
    }
    Ok([collection, &[id]].concat())
}

/// For calls whose repetition only has to be told from another call.
fn random_key() -> String {
    Uuid::new_v4().to_string()
}
