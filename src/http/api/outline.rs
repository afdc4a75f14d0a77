//! The description of the API as a page needs it: calls, members and words, in order.

use serde_json::Value;

/// All of it.
#[derive(Debug)]
pub(crate) struct Outline {
    /// Each call.
    pub(crate) calls: Vec<Call>,
    /// What goes to and fro.
    pub(crate) shapes: Vec<Shape>,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) summary: String,
    pub(crate) description: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) parameters: Vec<Member>,
    /// The shape of the body.
    pub(crate) body: Option<Kind>,
    pub(crate) answers: Vec<Answer>,
}

/// A parameter, or a member of a shape.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where a parameter is.
    pub(crate) place: String,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) text: String,
}

/// What may stand somewhere.
#[derive(Debug, Default)]
pub(crate) struct Kind {
    /// In words.
    pub(crate) words: String,
    /// The shape that says more.
    pub(crate) shape: Option<String>,
}

/// A status, and what it means.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: String,
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

/// An object, or a choice of words.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) members: Vec<Member>,
    pub(crate) words: Vec<String>,
}

/// Reads a whole description.
pub(super) fn of(document: &Value) -> Outline {
    let paths = entries(&document["paths"]);
    let calls = paths.flat_map(|(path, item)| {
        entries(item)
            .filter(|(_, operation)| operation["operationId"].is_string())
            .map(move |(method, operation)| call(method, path, operation))
    });
    let shapes = entries(&document["components"]["schemas"]);
    Outline {
        calls: calls.collect(),
        shapes: shapes.map(|(name, schema)| shape(name, schema)).collect(),
    }
}

fn call(method: &str, path: &str, operation: &Value) -> Call {
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    let scopes = items(&operation["security"]).flat_map(|one| items(&one["api_key"]));
    Call {
        id: text(&operation["operationId"]),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        description: text(&operation["description"]),
        scopes: scopes.map(text).collect(),
        parameters: items(&operation["parameters"]).map(parameter).collect(),
        body: body.is_object().then(|| kind(body)),
        answers: entries(&operation["responses"]).map(answer).collect(),
    }
}

fn parameter(parameter: &Value) -> Member {
    Member {
        name: text(&parameter["name"]),
        place: text(&parameter["in"]),
        kind: kind(&parameter["schema"]),
        required: parameter["required"] == true,
        text: text(&parameter["description"]),
    }
}

fn answer((status, answer): (&String, &Value)) -> Answer {
    let content = entries(&answer["content"]).next();
    Answer {
        status: status.clone(),
        text: text(&answer["description"]),
        kind: content
            .map(|(_, content)| kind(&content["schema"]))
            .unwrap_or_default(),
    }
}

fn shape(name: &str, schema: &Value) -> Shape {
    let required = |name: &str| items(&schema["required"]).any(|it| it == name);
    let members = entries(&schema["properties"]).map(|(name, member)| Member {
        name: name.clone(),
        place: String::new(),
        kind: kind(member),
        required: required(name),
        text: text(&member["description"]),
    });
    Shape {
        name: name.to_owned(),
        text: text(&schema["description"]),
        members: members.collect(),
        words: items(&schema["enum"]).map(text).collect(),
    }
}

fn kind(schema: &Value) -> Kind {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        return Kind {
            words: String::new(),
            shape: Some(name.to_owned()),
        };
    }
    let choices = [&schema["oneOf"], &schema["anyOf"]];
    let choices: Vec<Kind> = choices.into_iter().flat_map(items).map(kind).collect();
    if !choices.is_empty() {
        let words = choices.iter().map(|kind| kind.words.as_str());
        let words: Vec<&str> = words.filter(|words| !words.is_empty()).collect();
        return Kind {
            words: words.join(" or "),
            shape: choices.iter().find_map(|kind| kind.shape.clone()),
        };
    }
    let types: Vec<String> = match &schema["type"] {
        Value::Array(all) => all.iter().map(text).collect(),
        one => vec![text(one)],
    };
    let mut words = types.join(" or ");
    if let Some(format) = schema["format"].as_str() {
        words = format!("{words}, {format}");
    }
    let of = kind_of_items(schema);
    if types.iter().any(|one| one == "array") && !of.words.is_empty() {
        words = format!("{words} of {}", of.words);
    }
    Kind {
        words,
        shape: of.shape,
    }
}

fn kind_of_items(schema: &Value) -> Kind {
    if schema["items"].is_object() {
        kind(&schema["items"])
    } else {
        Kind::default()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
