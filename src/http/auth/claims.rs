//! What an issuer says of a person, as far as it is taken.

const LONGEST_SUBJECT: usize = 255;
const LONGEST_EMAIL: usize = 254;

/// Can somebody be known by this?
pub(super) fn is_subject(subject: &str) -> bool {
    !subject.trim().is_empty()
        && subject.chars().count() <= LONGEST_SUBJECT
        && !subject.contains(char::is_control)
}

/// Could mail be sent to it?
pub(super) fn is_address(email: &str) -> bool {
    email.contains('@')
        && email.len() <= LONGEST_EMAIL
        && !email.contains(|c: char| c.is_control() || c.is_whitespace())
}
