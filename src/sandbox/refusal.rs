//! Refusals in Stripe's error shape, with Stripe's types and codes.

use serde_json::{Value, json};

/// An error answer of the API.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    /// `Stripe-Rate-Limited-Reason`, on a 429.
    pub(crate) limited: Option<String>,
    /// `Stripe-Should-Retry`, where it is said at all.
    pub(crate) should_retry: Option<bool>,
    /// Refused before anything ran: such an answer is not kept for its idempotency key.
    pub(crate) unexecuted: bool,
}

impl Refusal {
    pub(crate) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            message: message.into(),
            param: None,
            limited: None,
            should_retry: None,
            unexecuted: false,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    pub(crate) fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn unexecuted(mut self) -> Self {
        self.unexecuted = true;
        self
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(401, "invalid_request_error", message).unexecuted()
    }

    /// The object an address names; a parameter that names one is a 400 with the same code.
    pub(crate) fn missing(noun: &str, id: &str, param: &str) -> Self {
        Self::new(
            404,
            "invalid_request_error",
            format!("No such {noun}: '{}'", shown(id)),
        )
        .code("resource_missing")
        .param(param)
    }

    pub(crate) fn unknown_parameter(param: &str) -> Self {
        Self::invalid(format!("Received unknown parameter: {}", shown(param)))
            .code("parameter_unknown")
            .param(shown(param))
            .unexecuted()
    }

    pub(crate) fn missing_parameter(param: &str) -> Self {
        Self::invalid(format!("Missing required param: {param}."))
            .code("parameter_missing")
            .param(param)
            .unexecuted()
    }

    pub(crate) fn internal() -> Self {
        Self::new(500, "api_error", "The sandbox failed to answer this call.")
    }

    pub(crate) fn body(&self) -> Value {
        let mut error = json!({ "type": self.kind, "message": self.message });
        if let Some(code) = &self.code {
            error["code"] = json!(code);
            error["doc_url"] = json!(format!(
                "https://stripe.com/docs/error-codes/{}",
                code.replace('_', "-")
            ));
        }
        if let Some(param) = &self.param {
            error["param"] = json!(param);
        }
        json!({ "error": error })
    }
}

/// What a caller sent, short enough to repeat; a secret in the wrong place is not repeated at all.
fn shown(text: &str) -> String {
    if text.contains("_secret_") || text.starts_with("ek_") {
        return "(a secret)".to_owned();
    }
    text.chars().take(80).collect()
}
