//! Policies: named sets of what to ask of a person, one of them the default.

mod parse;

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Noted, Reader};

/// The name of the policy there is when none is configured.
const USUAL: &str = "default";

/// What a person is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckType {
    /// An identity document.
    Document,
    /// A government number.
    IdNumber,
}

/// A document a person may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentType {
    /// A driving licence.
    DrivingLicense,
    /// A national identity card.
    IdCard,
    /// A passport.
    Passport,
}

/// How a document is checked; what is not set is left to Stripe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// What a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A check of this type, done in this way.
    Of {
        /// What is asked for.
        kind: CheckType,
        /// How documents are checked.
        document: DocumentOptions,
    },
    /// A flow of Stripe's Dashboard (`vf_…`).
    Flow(String),
}

/// One set of what to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name, by which an application asks for it and our rows keep it.
    pub name: String,
    /// What it asks for.
    pub check: Check,
    /// Who is verified by one of these is verified by this one too; it names itself, and whatever satisfies those it names.
    pub satisfied_by: BTreeSet<String>,
}

/// `POLICIES`: all of them, never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    by_name: BTreeMap<String, Policy>,
    default_name: String,
}

impl Policies {
    /// The policy of this name.
    pub fn find(&self, name: &str) -> Option<&Policy> {
        self.by_name.get(name)
    }

    /// The name of the one that is meant when none is named.
    pub fn default_name(&self) -> &str {
        &self.default_name
    }

    /// Every policy, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.by_name.values()
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Noted> {
        let is_dev = reader.mode().is_dev();
        let found = reader.document("POLICIES", parse::policies)?;
        Ok(found.unwrap_or_else(|| {
            if is_dev {
                Self::to_try()
            } else {
                Self::usual()
            }
        }))
    }

    /// Today's check of a document.
    fn usual() -> Self {
        Self::of(
            vec![Policy::plain(USUAL, DocumentOptions::default())],
            USUAL,
        )
    }

    /// Two, so that a developer can see what comes of asking for more.
    fn to_try() -> Self {
        let selfie = DocumentOptions {
            require_live_capture: Some(true),
            require_matching_selfie: Some(true),
            ..DocumentOptions::default()
        };
        let mut usual = Policy::plain(USUAL, DocumentOptions::default());
        usual.satisfied_by.insert("selfie".to_owned());
        Self::of(vec![usual, Policy::plain("selfie", selfie)], USUAL)
    }

    fn of(policies: Vec<Policy>, default_name: &str) -> Self {
        let named = policies.into_iter().map(|it| (it.name.clone(), it));
        Self {
            by_name: named.collect(),
            default_name: default_name.to_owned(),
        }
    }
}

impl Policy {
    fn plain(name: &str, document: DocumentOptions) -> Self {
        Self {
            name: name.to_owned(),
            check: Check::Of {
                kind: CheckType::Document,
                document,
            },
            satisfied_by: BTreeSet::from([name.to_owned()]),
        }
    }
}
