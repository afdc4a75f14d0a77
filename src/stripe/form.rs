//! Stripe's form encoding: nested members and arrays as bracketed keys.

use std::collections::BTreeMap;

use url::form_urlencoded::Serializer;

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
    Integer(i64),
    /// Scalars are sent as `k[]=…`, maps as `k[0][…]=…`, so that their members stay together.
    List(Vec<Value>),
    Map(Form),
}

/// Parameters in the order they are sent. The order is kept, because Stripe compares the
/// parameters of calls with the same idempotency key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form(Vec<(String, Value)>);

impl Form {
    /// Adds a parameter. An empty text is sent too (`k=`), by which Stripe unsets.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a parameter if there is a value for it.
    pub(super) fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// `None` if nothing is in it: an empty map or list cannot be written in this encoding.
    pub(super) fn or_none(self) -> Option<Self> {
        (!self.0.is_empty()).then_some(self)
    }

    /// `application/x-www-form-urlencoded`, for a body and a query alike.
    pub(super) fn encode(&self) -> String {
        let mut encoded = Serializer::new(String::new());
        for (name, value) in &self.0 {
            append(&mut encoded, name, value);
        }
        encoded.finish()
    }
}

fn append(encoded: &mut Serializer<'_, String>, name: &str, value: &Value) {
    match value {
        Value::Text(text) => {
            encoded.append_pair(name, text);
        }
        Value::Flag(flag) => {
            encoded.append_pair(name, if *flag { "true" } else { "false" });
        }
        Value::Integer(integer) => {
            encoded.append_pair(name, &integer.to_string());
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                match item {
                    Value::Map(_) | Value::List(_) => {
                        append(encoded, &format!("{name}[{index}]"), item);
                    }
                    _ => append(encoded, &format!("{name}[]"), item),
                }
            }
        }
        Value::Map(Form(members)) => {
            for (member, item) in members {
                append(encoded, &format!("{name}[{member}]"), item);
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<Form> for Value {
    fn from(form: Form) -> Self {
        Self::Map(form)
    }
}

impl From<&BTreeMap<String, String>> for Value {
    fn from(map: &BTreeMap<String, String>) -> Self {
        Self::Map(
            map.iter()
                .fold(Form::default(), |form, (k, v)| form.with(k, v)),
        )
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}
