//! Reads the policies out of their JSON, and says all that is wrong with them at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{Check, CheckType, DocumentOptions, DocumentType, Policies, Policy};
use crate::config::reader::Advice;

const MEMBERS: [&str; 7] = [
    "type",
    "options",
    "verification_flow",
    "satisfies",
    "satisfied_by",
    "default",
    "description",
];
const LONGEST_NAME: usize = 64;

/// An object's members in order, the repeated ones too: in a map the first would vanish unnoticed.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// A policy as written, before the others are known.
struct Draft {
    check: Option<Check>,
    satisfies: Vec<String>,
    satisfied_by: Vec<String>,
    is_default: bool,
}

/// What is wrong so far; a policy is named only once its name is known to be one.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, policy: &str, what: &str) {
        self.0.push(format!("policy {policy} {what}"));
    }
}

pub(super) fn policies(text: &str) -> Result<Policies, Advice> {
    let Ok(Members(members)) = serde_json::from_str(text) else {
        return Err("is not a JSON object of policies by name, such as {\"default\": {\"type\": \"document\"}}".into());
    };
    let mut problems = Problems::default();
    let mut drafts = BTreeMap::new();
    for (name, value) in members {
        if !is_name(&name) {
            let rule = "holds a name that is none: up to 64 small letters, digits, - and _";
            problems.0.push(rule.to_owned());
            continue;
        }
        let draft = draft(&name, &value, &mut problems);
        if drafts.contains_key(&name) {
            problems.add(&name, "is there twice");
        }
        drafts.insert(name, draft);
    }
    let default_name = default_of(&drafts, &mut problems);
    let satisfied_by = satisfied_by(&drafts, &mut problems);
    match default_name {
        Some(default_name) if problems.0.is_empty() => {
            let policies = drafts.iter().filter_map(|(name, draft)| {
                Some(Policy {
                    name: name.clone(),
                    check: draft.check.clone()?,
                    satisfied_by: closure(name, &satisfied_by),
                })
            });
            Ok(Policies::of(policies.collect(), &default_name))
        }
        _ => Err(problems.0.join("; ").into()),
    }
}

fn is_name(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !text.is_empty() && text.len() <= LONGEST_NAME && text.chars().all(inside)
}

fn draft(name: &str, value: &Value, problems: &mut Problems) -> Draft {
    let empty = Map::new();
    let members = value.as_object().unwrap_or_else(|| {
        problems.add(name, "is not an object");
        &empty
    });
    if !members.keys().all(|it| MEMBERS.contains(&it.as_str())) {
        let known = MEMBERS.join(", ");
        let what = format!("has a member that is not known: there are {known}");
        problems.add(name, &what);
    }
    if members.get("description").is_some_and(|it| !it.is_string()) {
        problems.add(name, "has a description that is no text");
    }
    Draft {
        check: check(name, members, problems),
        satisfies: names(name, "satisfies", members, problems),
        satisfied_by: names(name, "satisfied_by", members, problems),
        is_default: flag(name, "default", members, problems) == Some(true),
    }
}

fn check(name: &str, members: &Map<String, Value>, problems: &mut Problems) -> Option<Check> {
    let kind = members.get("type").map(|kind| match kind.as_str() {
        Some("document") => Some(CheckType::Document),
        Some("id_number") => Some(CheckType::IdNumber),
        _ => {
            problems.add(name, "has a type that is neither document nor id_number");
            None
        }
    });
    let document = members.get("options").map(|it| options(name, it, problems));
    if let Some(flow) = members.get("verification_flow") {
        if kind.is_some() || document.is_some() {
            problems.add(
                name,
                "has a verification_flow, which takes neither type nor options",
            );
        }
        let flow = flow.as_str().filter(|it| is_flow(it));
        if flow.is_none() {
            problems.add(name, "has a verification_flow that is not vf_ and an id");
        }
        return flow.map(|flow| Check::Flow(flow.to_owned()));
    }
    let Some(kind) = kind else {
        problems.add(name, "has neither a type nor a verification_flow");
        return None;
    };
    if kind == Some(CheckType::IdNumber) && document.is_some() {
        problems.add(name, "has options for documents, and the type id_number");
    }
    Some(Check::Of {
        kind: kind?,
        document: document.unwrap_or_default(),
    })
}

fn is_flow(text: &str) -> bool {
    let id = text.strip_prefix("vf_").unwrap_or_default();
    !id.is_empty() && text.len() <= 255 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn options(name: &str, value: &Value, problems: &mut Problems) -> DocumentOptions {
    const KNOWN: [&str; 4] = [
        "allowed_types",
        "require_id_number",
        "require_live_capture",
        "require_matching_selfie",
    ];
    let only = value
        .as_object()
        .filter(|it| it.keys().all(|key| key == "document"));
    let document = only.and_then(|it| it.get("document")?.as_object());
    let Some(document) = document else {
        problems.add(name, "has options that are not {\"document\": {…}}");
        return DocumentOptions::default();
    };
    if !document.keys().all(|key| KNOWN.contains(&key.as_str())) {
        let what = format!(
            "has an option of documents that is not known: there are {}",
            KNOWN.join(", ")
        );
        problems.add(name, &what);
    }
    DocumentOptions {
        allowed_types: allowed_types(name, document, problems),
        require_id_number: flag(name, KNOWN[1], document, problems),
        require_live_capture: flag(name, KNOWN[2], document, problems),
        require_matching_selfie: flag(name, KNOWN[3], document, problems),
    }
}

fn allowed_types(
    name: &str,
    document: &Map<String, Value>,
    problems: &mut Problems,
) -> Vec<DocumentType> {
    let Some(value) = document.get("allowed_types") else {
        return Vec::new();
    };
    let read: Option<Vec<_>> = value.as_array().and_then(|types| {
        let read = types.iter().map(|it| match it.as_str()? {
            "driving_license" => Some(DocumentType::DrivingLicense),
            "id_card" => Some(DocumentType::IdCard),
            "passport" => Some(DocumentType::Passport),
            _ => None,
        });
        read.collect()
    });
    read.filter(|types| !types.is_empty()).unwrap_or_else(|| {
        problems.add(
            name,
            "has allowed_types that are not some of driving_license, id_card and passport",
        );
        Vec::new()
    })
}

fn flag(
    name: &str,
    member: &str,
    members: &Map<String, Value>,
    problems: &mut Problems,
) -> Option<bool> {
    let value = members.get(member)?;
    let flag = value.as_bool();
    if flag.is_none() {
        problems.add(
            name,
            &format!("has a {member} that is neither true nor false"),
        );
    }
    flag
}

fn names(
    name: &str,
    member: &str,
    members: &Map<String, Value>,
    problems: &mut Problems,
) -> Vec<String> {
    let Some(value) = members.get(member) else {
        return Vec::new();
    };
    let read: Option<Vec<String>> = value.as_array().and_then(|all| {
        all.iter()
            .map(|it| it.as_str().map(str::to_owned))
            .collect()
    });
    read.unwrap_or_else(|| {
        problems.add(name, &format!("has a {member} that is no list of names"));
        Vec::new()
    })
}

/// The one that says so, or the only one.
fn default_of(drafts: &BTreeMap<String, Draft>, problems: &mut Problems) -> Option<String> {
    let mut said = drafts.iter().filter(|(_, draft)| draft.is_default);
    let found = match (said.next(), said.next()) {
        (Some((name, _)), None) => Some(name),
        (None, _) if drafts.len() == 1 => drafts.keys().next(),
        _ => None,
    };
    if found.is_none() {
        let what = "names no default, or more than one: write \"default\": true into one policy";
        problems.0.push(what.to_owned());
    }
    found.cloned()
}

/// Which policies each one says, or is said, to be satisfied by; itself left out.
fn satisfied_by<'a>(
    drafts: &'a BTreeMap<String, Draft>,
    problems: &mut Problems,
) -> BTreeMap<String, BTreeSet<&'a str>> {
    let mut all = BTreeMap::<String, BTreeSet<&str>>::new();
    for (name, draft) in drafts {
        let named = draft.satisfies.iter().chain(&draft.satisfied_by);
        if !named.into_iter().all(|it| drafts.contains_key(it)) {
            problems.add(
                name,
                "satisfies, or is satisfied by, a policy that is not there",
            );
        }
        let own = all.entry(name.clone()).or_default();
        own.extend(draft.satisfied_by.iter().map(String::as_str));
        for weaker in &draft.satisfies {
            all.entry(weaker.clone()).or_default().insert(name);
        }
    }
    all
}

/// Whatever satisfies what satisfies this one satisfies this one, too.
fn closure(name: &str, satisfied_by: &BTreeMap<String, BTreeSet<&str>>) -> BTreeSet<String> {
    let mut found = BTreeSet::from([name.to_owned()]);
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        for stronger in satisfied_by.get(&name).into_iter().flatten() {
            if found.insert((*stronger).to_owned()) {
                next.push((*stronger).to_owned());
            }
        }
    }
    found
}
