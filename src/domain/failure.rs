//! Failure codes, in words that help: what happened, what to do differently, and whether to try again.

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Yes, as before.
    Same,
    /// Yes, with something else: another document, another number.
    Other,
    /// No; only another way or a person can help.
    No,
}

/// What to tell a person about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The code, as it was given; empty if there was none.
    pub code: String,
    /// What the page is headed with.
    pub heading: &'static str,
    /// What happened, in plain words and without blame.
    pub reason: &'static str,
    /// The two things most likely to help.
    pub tips: [&'static str; 2],
    /// Whether trying again can help.
    pub retry: Retry,
}

/// What to tell a person about this code.
pub fn advice(code: Option<&str>) -> Advice {
    Advice {
        code: code.unwrap_or_default().to_owned(),
        heading: "We could not verify your document",
        reason: "The check did not succeed, and we were not told more.",
        tips: [
            "Use the original document, in good light.",
            "Try another document if you have one.",
        ],
        retry: Retry::Other,
    }
}
