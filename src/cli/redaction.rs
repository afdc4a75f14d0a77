//! What `verigate explain` says of an erasure.

use std::fmt::Write as _;

use super::explain::time;
use crate::store::AttemptRecord;

/// Nothing where nobody asked for one.
pub(super) fn write_redaction(out: &mut String, record: &AttemptRecord) -> std::fmt::Result {
    let redaction = record.knowledge.redaction.as_str();
    if redaction == "none" && record.redaction_requested_at.is_none() {
        return Ok(());
    }
    write!(out, "  redaction {redaction}")?;
    if let Some(at) = record.redaction_requested_at {
        write!(out, ", asked for at {}", time(at))?;
    }
    match (
        record.redaction_overdue_at,
        record.redaction_outcome.as_deref(),
    ) {
        (Some(at), _) => write!(out, ", OVERDUE since {}: ask Stripe's support", time(at))?,
        (None, Some("refused")) => write!(out, ", which Stripe refused")?,
        (None, None) if redaction == "none" => write!(out, ", waits for the end of the check")?,
        _ => {}
    }
    writeln!(out)
}
