//! What the calls take, in Stripe's own names.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    form::{Form, Value},
    types::SessionStatus,
};

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionType {
    /// An identity document.
    Document,
    /// A government number.
    IdNumber,
}

/// A document a person may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentType {
    /// A driving licence.
    DrivingLicense,
    /// A national identity card.
    IdCard,
    /// A passport.
    Passport,
}

impl SessionType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::IdNumber => "id_number",
        }
    }
}

impl DocumentType {
    fn as_str(self) -> &'static str {
        match self {
            Self::DrivingLicense => "driving_license",
            Self::IdCard => "id_card",
            Self::Passport => "passport",
        }
    }
}

/// How the document check is done; what is `None` is left to Stripe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DocumentOptions {
    /// The documents accepted; all of them if empty.
    pub allowed_types: Vec<DocumentType>,
    /// Also ask for the government number.
    pub require_id_number: Option<bool>,
    /// Camera only, no uploads.
    pub require_live_capture: Option<bool>,
    /// Also take a selfie and compare it.
    pub require_matching_selfie: Option<bool>,
}

/// What is already known of the person; shown to them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProvidedDetails {
    /// Their e-mail address.
    pub email: Option<String>,
    /// Their phone number.
    pub phone: Option<String>,
}

// Personal data has no business in a log.
impl fmt::Debug for ProvidedDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |given: bool| if given { "given" } else { "none" };
        f.debug_struct("ProvidedDetails")
            .field("email", &shown(self.email.is_some()))
            .field("phone", &shown(self.phone.is_some()))
            .finish()
    }
}

/// `POST /v1/identity/verification_sessions`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateSession {
    /// What is checked; not with a `verification_flow`.
    #[serde(rename = "type")]
    pub type_: Option<SessionType>,
    /// A flow configured in Stripe's Dashboard (`vf_…`); it replaces type and options.
    pub verification_flow: Option<String>,
    /// How documents are checked (`options[document]`).
    pub document: DocumentOptions,
    /// What is known of the person.
    pub provided_details: ProvidedDetails,
    /// Where the hosted page sends the person afterwards.
    pub return_url: Option<String>,
    /// Whom the session is for, in our words.
    pub client_reference_id: Option<String>,
    /// Kept with the session; see [`super::ATTEMPT_KEY`].
    pub metadata: BTreeMap<String, String>,
}

/// `POST /v1/identity/verification_sessions/{id}`; only while the session waits for the person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateSession {
    /// What is checked.
    pub type_: Option<SessionType>,
    /// How documents are checked.
    pub document: DocumentOptions,
    /// What is known of the person.
    pub provided_details: ProvidedDetails,
    /// Merged into the session's metadata; an empty value deletes its key.
    pub metadata: BTreeMap<String, String>,
}

/// A span of creation times, in unix seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// Later than.
    pub gt: Option<i64>,
    /// At or after.
    pub gte: Option<i64>,
    /// Earlier than.
    pub lt: Option<i64>,
    /// At or before.
    pub lte: Option<i64>,
}

/// Which part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// 1 to 100; Stripe's default is 10.
    pub limit: Option<u8>,
    /// The page after (older than) this id; see [`super::List::last_id`].
    pub starting_after: Option<String>,
}

/// `GET /v1/identity/verification_sessions`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListSessions {
    /// Only those of this status.
    pub status: Option<SessionStatus>,
    /// Only those created for this reference.
    pub client_reference_id: Option<String>,
    /// Only those created then.
    pub created: Created,
    /// Which part.
    pub page: Page,
}

impl ListSessions {
    /// Those created for this reference, as many as one answer has.
    pub fn created_for(reference: &str) -> Self {
        Self {
            client_reference_id: Some(reference.to_owned()),
            page: Page {
                limit: Some(100),
                ..Page::default()
            },
            ..Self::default()
        }
    }
}

/// `GET /v1/events`; reaches 30 days back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListEvents {
    /// Only these types, at most 20; all if empty.
    pub types: Vec<String>,
    /// Only those created then.
    pub created: Created,
    /// Which part.
    pub page: Page,
}

impl CreateSession {
    pub(super) fn form(&self) -> Form {
        let form = match &self.verification_flow {
            // What Stripe does with both is not documented; the flow is the more specific wish.
            Some(flow) => Form::default().with("verification_flow", flow),
            None => Form::default()
                .with_some("type", self.type_.map(SessionType::as_str))
                .with_some("options", options(&self.document)),
        };
        form.with_some("provided_details", self.provided_details.form())
            .with_some("return_url", self.return_url.as_ref())
            .with_some("client_reference_id", self.client_reference_id.as_ref())
            .with_some("metadata", metadata(&self.metadata))
    }
}

impl UpdateSession {
    pub(super) fn form(&self) -> Form {
        Form::default()
            .with_some("type", self.type_.map(SessionType::as_str))
            .with_some("options", options(&self.document))
            .with_some("provided_details", self.provided_details.form())
            .with_some("metadata", metadata(&self.metadata))
    }
}

impl ProvidedDetails {
    fn form(&self) -> Option<Form> {
        Form::default()
            .with_some("email", self.email.as_ref())
            .with_some("phone", self.phone.as_ref())
            .or_none()
    }
}

fn options(document: &DocumentOptions) -> Option<Form> {
    let types = document.allowed_types.iter().map(|t| t.as_str());
    let document = Form::default()
        .with("allowed_types", types.collect::<Value>())
        .with_some("require_id_number", document.require_id_number)
        .with_some("require_live_capture", document.require_live_capture)
        .with_some("require_matching_selfie", document.require_matching_selfie)
        .or_none()?;
    Some(Form::default().with("document", document))
}

fn metadata(metadata: &BTreeMap<String, String>) -> Option<Value> {
    (!metadata.is_empty()).then(|| metadata.into())
}

impl Created {
    fn form(self) -> Option<Form> {
        Form::default()
            .with_some("gt", self.gt)
            .with_some("gte", self.gte)
            .with_some("lt", self.lt)
            .with_some("lte", self.lte)
            .or_none()
    }
}

impl Page {
    fn add_to(&self, form: Form) -> Form {
        form.with_some("limit", self.limit.map(i64::from))
            .with_some("starting_after", self.starting_after.as_ref())
    }
}

impl ListSessions {
    pub(super) fn form(&self) -> Form {
        let form = Form::default()
            .with_some("status", self.status.as_ref().map(SessionStatus::as_str))
            .with_some("client_reference_id", self.client_reference_id.as_ref())
            .with_some("created", self.created.form());
        self.page.add_to(form)
    }
}

impl ListEvents {
    pub(super) fn form(&self) -> Form {
        let form = Form::default()
            .with("types", self.types.iter().collect::<Value>())
            .with_some("created", self.created.form());
        self.page.add_to(form)
    }
}
