//! A lenient view of a JSON object: every member is optional, and only what is asked for is decoded.
//!
//! Derived `Deserialize` is wrong for what Stripe may send, both ways: it refuses lone surrogates,
//! numbers beyond `f64`, repeated members and deep nesting even in members nobody reads. Here the
//! whole text is checked against the grammar once, without recursion, and each member is kept raw.

use std::{borrow::Cow, collections::BTreeMap, fmt, str};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// One JSON object; of repeated members the last counts. A handful is asked for, of a few dozen: no map would pay.
pub(super) struct Object<'a>(Vec<(Cow<'a, [u8]>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads a whole document: valid UTF-8 (a leading BOM is fine), one object, nothing after it.
    pub(super) fn parse(document: &'a [u8]) -> Option<Self> {
        let document = document.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(document);
        let text = str::from_utf8(document).ok()?;
        serde_json::from_str(text).ok()
    }

    pub(super) fn from_raw(raw: &'a RawValue) -> Option<Self> {
        // Most members that may be objects are null: to look is cheaper than to make an error of it.
        let text = Some(raw.get()).filter(|text| text.starts_with('{'))?;
        serde_json::from_str(text).ok()
    }

    fn member(&self, name: &str) -> Option<&'a RawValue> {
        let mut members = self.0.iter().rev();
        let member = members.find(|(key, _)| key.as_ref() == name.as_bytes());
        member.map(|&(_, raw)| raw)
    }

    /// The string's bytes. A lone surrogate makes them invalid UTF-8, yet keeps them distinct.
    pub(super) fn bytes(&self, member: &str) -> Option<Cow<'a, [u8]>> {
        let raw = self.member(member)?.get();
        if !raw.starts_with('"') {
            return None;
        }
        serde_json::from_str::<TextBytes<'a>>(raw).ok().map(|t| t.0)
    }

    /// The string, with the replacement character for what Unicode has no place for.
    pub(super) fn text(&self, member: &str) -> Option<String> {
        self.bytes(member)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// An integer written as one: `5`, but neither `5.0` nor `5e0`.
    pub(super) fn integer(&self, member: &str) -> Option<i64> {
        self.member(member)?.get().parse().ok()
    }

    pub(super) fn flag(&self, member: &str) -> Option<bool> {
        self.member(member)?.get().parse().ok()
    }

    pub(super) fn object(&self, member: &str) -> Option<Object<'a>> {
        Self::from_raw(self.member(member)?)
    }

    pub(super) fn array(&self, member: &str) -> Option<Vec<&'a RawValue>> {
        serde_json::from_str(self.member(member)?.get()).ok()
    }

    /// Every member that is a string.
    pub(super) fn texts(&self) -> BTreeMap<String, String> {
        self.0
            .iter()
            .filter_map(|(key, _)| str::from_utf8(key).ok())
            .filter_map(|key| Some((key.to_owned(), self.text(key)?)))
            .collect()
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// Room for the members of an event, and of most objects.
const FEW: usize = 16;

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(FEW);
        while let Some((TextBytes(key), value)) = map.next_entry()? {
            members.push((key, value));
        }
        Ok(Object(members))
    }
}

/// A JSON string as bytes, which is the one form `serde_json` lets a lone surrogate through in.
struct TextBytes<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for TextBytes<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextBytesVisitor)
    }
}

struct TextBytesVisitor;

impl<'de> Visitor<'de> for TextBytesVisitor {
    type Value = TextBytes<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(TextBytes(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(TextBytes(Cow::Owned(bytes.to_vec())))
    }
}
