//! Policies as the use cases know them: what is asked of Stripe under each, and how an open session comes under another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    domain::Person,
    store::Verification,
    stripe::{
        CreateSession, DocumentOptions, DocumentType, ProvidedDetails, SessionType, UpdateSession,
    },
};

/// The longest e-mail address there can be.
const LONGEST_ADDRESS: usize = 254;

/// What a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A check of this type, done in this way.
    Of {
        /// What is asked for.
        kind: SessionType,
        /// How documents are checked.
        document: DocumentOptions,
    },
    /// A flow of Stripe's Dashboard (`vf_…`).
    Flow(String),
}

/// One set of what to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// What it asks for.
    pub check: Check,
    /// Every policy that satisfies it, itself among them.
    pub satisfied_by: BTreeSet<String>,
}

/// All policies; cheap to clone.
#[derive(Clone, Debug)]
pub struct Policies {
    by_name: Arc<BTreeMap<String, Arc<Policy>>>,
    default_name: Arc<str>,
}

/// A policy that is not configured, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy asked for is not configured")]
pub struct UnknownPolicy;

impl Policies {
    /// `default_name` must be the name of one of them.
    pub fn new(all: impl IntoIterator<Item = Policy>, default_name: &str) -> Self {
        let named = all.into_iter().map(|it| (it.name.clone(), Arc::new(it)));
        Self {
            by_name: Arc::new(named.collect()),
            default_name: default_name.into(),
        }
    }

    /// The policy of this name, or the default one if none is named.
    ///
    /// # Errors
    /// When there is none of that name: another one in its place could ask for less.
    pub fn find(&self, name: Option<&str>) -> Result<Arc<Policy>, UnknownPolicy> {
        let name = name.unwrap_or(&self.default_name);
        self.by_name.get(name).cloned().ok_or(UnknownPolicy)
    }
}

impl Default for Policies {
    /// One, named `default`, that asks for a document.
    fn default() -> Self {
        let name = "default".to_owned();
        let usual = Policy {
            check: Check::Of {
                kind: SessionType::Document,
                document: DocumentOptions::default(),
            },
            satisfied_by: BTreeSet::from([name.clone()]),
            name,
        };
        Self::new([usual], "default")
    }
}

/// What an open session needs before it can be handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing: it is as wanted.
    None,
    /// Stripe is to be told what to ask for.
    Update(UpdateSession),
    /// It asks for what is wanted; Stripe is to be told more of whom.
    Details(UpdateSession),
    /// It cannot become what is wanted: it is closed, and another one begun.
    Cancel,
}

impl Policy {
    /// What this policy makes of the parameters of an attempt.
    pub(super) fn put_into(&self, parameters: CreateSession) -> CreateSession {
        match self.check.clone() {
            Check::Of { kind, document } => CreateSession {
                type_: Some(kind),
                verification_flow: None,
                document,
                ..parameters
            },
            Check::Flow(flow) => CreateSession {
                type_: None,
                verification_flow: Some(flow),
                document: DocumentOptions::default(),
                ..parameters
            },
        }
    }

    /// What an open attempt's session lacks.
    pub(super) fn change(&self, open: &Verification, person: &Person, details: i32) -> Change {
        let frozen = serde_json::from_value::<CreateSession>(open.parameters.clone());
        let Ok(frozen) = frozen else {
            // Nobody can tell what it asks for.
            return Change::Cancel;
        };
        let settled = open.policy == self.name && open.policies_asked.is_empty();
        let same = self.put_into(frozen.clone()) == frozen;
        let update = UpdateSession {
            provided_details: provided_details(person),
            ..UpdateSession::default()
        };
        if settled && same {
            return if open.details_version == details {
                Change::None
            } else {
                Change::Details(update)
            };
        }
        match &self.check {
            Check::Of { kind, document } if frozen.verification_flow.is_none() => {
                Change::Update(UpdateSession {
                    type_: Some(*kind),
                    document: whole(*kind, document),
                    ..update
                })
            }
            // A flow is for life.
            Check::Of { .. } | Check::Flow(_) => Change::Cancel,
        }
    }
}

/// What Stripe is told of the person. It is put in when the call is made: what is frozen in the row holds none of it.
pub(super) fn provided_details(person: &Person) -> ProvidedDetails {
    ProvidedDetails {
        // A text that is no address would have Stripe refuse the whole call.
        email: person.email.clone().filter(|text| is_address(text)),
        phone: None,
    }
}

fn is_address(text: &str) -> bool {
    let sides = text.split_once('@');
    let blank = |c: char| c.is_whitespace() || c.is_control();
    text.len() <= LONGEST_ADDRESS
        && !text.contains(blank)
        && sides.is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !host.contains('@')
        })
}

/// Every option by name: one that is left out could stay as the earlier policy set it.
fn whole(kind: SessionType, document: &DocumentOptions) -> DocumentOptions {
    if kind == SessionType::IdNumber {
        return DocumentOptions::default();
    }
    let every = [
        DocumentType::DrivingLicense,
        DocumentType::IdCard,
        DocumentType::Passport,
    ];
    let said = |flag: Option<bool>| Some(flag.unwrap_or(false));
    DocumentOptions {
        allowed_types: match document.allowed_types.as_slice() {
            [] => every.to_vec(),
            some => some.to_vec(),
        },
        require_id_number: said(document.require_id_number),
        require_live_capture: said(document.require_live_capture),
        require_matching_selfie: said(document.require_matching_selfie),
    }
}
