//! `expand[]`: which members a call may ask for, and which of them only a restricted key sees.

use serde_json::Value;

use super::refusal::Refusal;

const DEEPEST: usize = 4;

/// What a session can expand.
pub(crate) static SESSION: [&str; 17] = [
    "provided_details",
    "verified_outputs",
    "verified_outputs.address",
    "verified_outputs.dob",
    "verified_outputs.id_number",
    "verified_outputs.sex",
    "verified_outputs.unparsed_sex",
    "verified_outputs.unparsed_place_of_birth",
    "last_verification_report",
    "last_verification_report.document",
    "last_verification_report.document.dob",
    "last_verification_report.document.expiration_date",
    "last_verification_report.document.number",
    "last_verification_report.document.sex",
    "last_verification_report.id_number",
    "last_verification_report.id_number.dob",
    "last_verification_report.id_number.id_number",
];

/// What a report can expand.
pub(crate) static REPORT: [&str; 10] = [
    "document",
    "document.dob",
    "document.expiration_date",
    "document.number",
    "document.sex",
    "document.unparsed_sex",
    "document.unparsed_place_of_birth",
    "id_number",
    "id_number.dob",
    "id_number.id_number",
];

/// The last words of members that a secret key may not read.
const SENSITIVE: [&str; 4] = ["dob", "number", "expiration_date", "id_number"];

/// The members a call asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expand(Vec<String>);

impl Expand {
    /// Reads the parameter; `prefix` is `data.` in a list.
    pub(crate) fn read(
        asked: Option<&Value>,
        allowed: &[&str],
        prefix: &str,
        restricted: bool,
    ) -> Result<Self, Refusal> {
        let mut paths = Vec::new();
        for path in asked.and_then(Value::as_array).into_iter().flatten() {
            let path = path.as_str().unwrap_or_default();
            if path.split('.').count() > DEEPEST {
                return Err(refused("expand takes at most four levels"));
            }
            let Some(known) = path.strip_prefix(prefix).filter(|p| allowed.contains(p)) else {
                return Err(refused("expand names a property that cannot be expanded"));
            };
            if !restricted && is_sensitive(known) {
                let message = "This key may not read sensitive results: a restricted key with \
                    the permission to access sensitive verification results may.";
                return Err(Refusal::new(403, "invalid_request_error", message).unexecuted());
            }
            paths.push(known.to_owned());
        }
        Ok(Self(paths))
    }

    /// Is this member wanted, itself or something in it?
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|asked| {
            asked
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// What is wanted within a member.
    pub(crate) fn within(&self, path: &str) -> Self {
        let inner = self
            .0
            .iter()
            .filter_map(|asked| asked.strip_prefix(path)?.strip_prefix('.'));
        Self(inner.map(str::to_owned).collect())
    }
}

fn refused(message: &str) -> Refusal {
    Refusal::invalid(message).param("expand").unexecuted()
}

fn is_sensitive(path: &str) -> bool {
    // The number's own check is named like the number: only the member in it is sensitive.
    let is_check = matches!(path, "id_number" | "last_verification_report.id_number");
    let last = path.rsplit('.').next().unwrap_or_default();
    SENSITIVE.contains(&last) && !is_check
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_known_members_expand_and_sensitive_ones_for_restricted_keys() {
        let read = |paths: Value, prefix: &str, restricted| {
            Expand::read(Some(&paths), &SESSION, prefix, restricted)
        };
        let expand = read(json!(["data.verified_outputs.dob"]), "data.", true).unwrap();
        assert!(expand.has("verified_outputs") && expand.has("verified_outputs.dob"));
        assert!(!expand.has("verified_outputs.sex") && !expand.has("verified"));
        assert!(expand.within("verified_outputs").has("dob"));

        let status =
            |paths, prefix, restricted| read(paths, prefix, restricted).unwrap_err().status;
        assert_eq!(status(json!(["verified_outputs"]), "data.", true), 400);
        assert_eq!(status(json!(["metadata"]), "", true), 400);
        assert_eq!(status(json!(["a.b.c.d.e"]), "", true), 400);
        assert_eq!(status(json!(["verified_outputs.dob"]), "", false), 403);
        let check = json!(["last_verification_report.id_number"]);
        assert!(read(check, "", false).is_ok());
    }
}
