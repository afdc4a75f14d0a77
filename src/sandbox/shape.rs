//! What parameters a call takes: unknown and malformed ones are refused as Stripe refuses them.

use serde_json::{Map, Value};

use super::{form::Node, refusal::Refusal};

/// The kind of one parameter.
pub(crate) enum Shape {
    /// Text of at most so many characters.
    Text(usize),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds.
    Number(i64, i64),
    /// An array.
    List(&'static Shape),
    /// An object with these members.
    Fields(&'static [Field]),
    /// As within, or empty to unset it.
    Unsettable(&'static Shape),
    /// An object of texts under free names.
    Metadata,
    /// A second, or an object of bounds.
    Range,
}

/// A named parameter.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
}

/// A parameter that may be left out.
pub(crate) const fn may(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        required: false,
    }
}

/// A parameter that must be there.
pub(crate) const fn must(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        required: true,
    }
}

pub(crate) const TEXT: Shape = Shape::Text(5000);
pub(crate) const EXPAND: Field = may("expand", Shape::List(&TEXT));
const MOST_METADATA: usize = 50;
const SECONDS: Shape = Shape::Number(0, i64::MAX);
static BOUNDS: [Field; 4] = [
    may("gt", SECONDS),
    may("gte", SECONDS),
    may("lt", SECONDS),
    may("lte", SECONDS),
];

/// The parameters as JSON, or the first thing wrong with them.
pub(crate) fn read(form: &Node, fields: &[Field]) -> Result<Map<String, Value>, Refusal> {
    read_fields(form, fields, "").map_err(Refusal::unexecuted)
}

fn read_fields(node: &Node, fields: &[Field], within: &str) -> Result<Map<String, Value>, Refusal> {
    let mut read = Map::new();
    for (name, child) in &node.children {
        let path = join(within, name);
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            return Err(Refusal::unknown_parameter(&path));
        };
        read.insert(name.clone(), value(child, &field.shape, &path)?);
    }
    match fields
        .iter()
        .find(|f| f.required && !read.contains_key(f.name))
    {
        Some(field) => Err(Refusal::missing_parameter(&join(within, field.name))),
        None => Ok(read),
    }
}

fn value(node: &Node, shape: &Shape, path: &str) -> Result<Value, Refusal> {
    match shape {
        Shape::Text(most) => text(node, path).and_then(|text| {
            if text.chars().count() > *most {
                return Err(Refusal::invalid(format!(
                    "Invalid string: {path} must be at most {most} characters"
                ))
                .code("parameter_invalid_string")
                .param(path));
            }
            Ok(Value::from(text))
        }),
        Shape::Choice(words) => text(node, path).and_then(|text| {
            if words.contains(&text) {
                return Ok(Value::from(text));
            }
            Err(Refusal::invalid(format!(
                "Invalid {path}: must be one of {}",
                words.join(", ")
            ))
            .param(path))
        }),
        Shape::Flag => match text(node, path)? {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(
                Refusal::invalid(format!("Invalid boolean: {path} takes true or false"))
                    .code("parameter_invalid_boolean")
                    .param(path),
            ),
        },
        Shape::Number(least, most) => number(node, path, *least, *most),
        Shape::List(of) => list(node, of, path),
        Shape::Fields(fields) if node.text.is_none() => {
            read_fields(node, fields, path).map(Value::Object)
        }
        Shape::Fields(_) => Err(Refusal::invalid(format!("Invalid object: {path}")).param(path)),
        Shape::Unsettable(within) if is_empty(node) => {
            debug_assert!(!matches!(within, Shape::Unsettable(_)));
            Ok(Value::Null)
        }
        Shape::Unsettable(within) => value(node, within, path),
        Shape::Metadata => metadata(node, path),
        Shape::Range if node.text.is_some() => value(node, &SECONDS, path),
        Shape::Range => read_fields(node, &BOUNDS, path).map(Value::Object),
    }
}

fn text<'a>(node: &'a Node, path: &str) -> Result<&'a str, Refusal> {
    match node.text.as_deref() {
        Some("") => Err(Refusal::invalid(format!(
            "{path} was sent empty, which means to unset it; it cannot be unset"
        ))
        .code("parameter_invalid_empty")
        .param(path)),
        Some(text) if node.children.is_empty() => Ok(text),
        _ => Err(Refusal::invalid(format!("Invalid string: {path}")).param(path)),
    }
}

fn number(node: &Node, path: &str, least: i64, most: i64) -> Result<Value, Refusal> {
    let number = text(node, path)?.parse::<i64>().ok();
    match number {
        Some(number) if (least..=most).contains(&number) => Ok(Value::from(number)),
        _ => Err(Refusal::invalid(format!("Invalid integer: {path}"))
            .code("parameter_invalid_integer")
            .param(path)),
    }
}

fn list(node: &Node, of: &Shape, path: &str) -> Result<Value, Refusal> {
    if node.text.is_some() {
        return Err(Refusal::invalid(format!("Invalid array: {path}")).param(path));
    }
    let mut children: Vec<_> = node
        .children
        .iter()
        .map(|(index, child)| (index.parse::<usize>().ok(), index, child))
        .collect();
    children.sort_by_key(|(position, ..)| *position);
    children
        .into_iter()
        .map(|(position, index, child)| match position {
            Some(_) => value(child, of, &join(path, index)),
            None => Err(Refusal::unknown_parameter(&join(path, index))),
        })
        .collect()
}

fn metadata(node: &Node, path: &str) -> Result<Value, Refusal> {
    if is_empty(node) {
        return Ok(Value::Null);
    }
    let invalid = |what: &str| Err(Refusal::invalid(what).param(path));
    if node.text.is_some() {
        return invalid("Invalid object: metadata takes names and texts");
    }
    if node.children.len() > MOST_METADATA {
        return invalid("metadata takes at most 50 keys");
    }
    let mut read = Map::new();
    for (name, child) in &node.children {
        let Some(text) = child.text.as_deref().filter(|_| child.children.is_empty()) else {
            return invalid("metadata takes texts only");
        };
        if name.chars().count() > 40 || text.chars().count() > 500 {
            return invalid("metadata keys take at most 40 characters, values at most 500");
        }
        read.insert(name.clone(), Value::from(text));
    }
    Ok(Value::Object(read))
}

fn is_empty(node: &Node) -> bool {
    node.text.as_deref() == Some("") && node.children.is_empty()
}

fn join(within: &str, name: &str) -> String {
    if within.is_empty() {
        name.to_owned()
    } else {
        format!("{within}[{name}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static DOCUMENT: [Field; 2] = [
        may(
            "allowed_types",
            Shape::List(&Shape::Choice(&["passport", "id_card"])),
        ),
        may("require_live_capture", Shape::Flag),
    ];
    static CALL: [Field; 4] = [
        must("type", Shape::Choice(&["document"])),
        may("document", Shape::Unsettable(&Shape::Fields(&DOCUMENT))),
        may("metadata", Shape::Metadata),
        may("created", Shape::Range),
    ];

    fn refused(body: &str) -> (Option<String>, Option<String>) {
        let refusal = read(&Node::parse(body.as_bytes()), &CALL).unwrap_err();
        assert!(refusal.unexecuted, "{body}: must not be kept for a replay");
        (refusal.code, refusal.param)
    }

    #[test]
    fn good_parameters_become_json() {
        let body =
            b"type=document&document[allowed_types][1]=id_card&document[allowed_types][0]=passport\
            &document[require_live_capture]=true&metadata[a]=&created[gte]=5";
        let read = read(&Node::parse(body), &CALL).unwrap();
        assert_eq!(
            Value::Object(read),
            serde_json::json!({
                "type": "document",
                "document": { "allowed_types": ["passport", "id_card"], "require_live_capture": true },
                "metadata": { "a": "" },
                "created": { "gte": 5 },
            })
        );
    }

    #[test]
    fn bad_parameters_are_named_with_their_whole_path() {
        let cases = [
            ("", "parameter_missing", "type"),
            ("type=document&foo=1", "parameter_unknown", "foo"),
            (
                "type=document&document[foo]=1",
                "parameter_unknown",
                "document[foo]",
            ),
            ("type=", "parameter_invalid_empty", "type"),
            (
                "type=document&created=soon",
                "parameter_invalid_integer",
                "created",
            ),
            (
                "type=document&created[gte]=x",
                "parameter_invalid_integer",
                "created[gte]",
            ),
            (
                "type=document&document[require_live_capture]=1",
                "parameter_invalid_boolean",
                "document[require_live_capture]",
            ),
            (
                "type=document&document[allowed_types][x]=1",
                "parameter_unknown",
                "document[allowed_types][x]",
            ),
        ];
        for (body, code, param) in cases {
            assert_eq!(
                refused(body),
                (Some(code.to_owned()), Some(param.to_owned())),
                "{body}"
            );
        }
        assert_eq!(refused("type=passport"), (None, Some("type".to_owned())));
        let long = format!("type=document&metadata[{}]=x", "k".repeat(41));
        assert_eq!(refused(&long).1, Some("metadata".to_owned()));
    }

    #[test]
    fn an_empty_value_unsets_what_can_be_unset() {
        let read = read(&Node::parse(b"type=document&document=&metadata="), &CALL).unwrap();
        assert_eq!(read["document"], Value::Null);
        assert_eq!(read["metadata"], Value::Null);
    }
}
