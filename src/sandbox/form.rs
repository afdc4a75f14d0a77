//! Bracketed form parameters as a tree: `a[b]=1`, `k[]=x`, `k[0]=x`, encoded or not.

use url::form_urlencoded;

/// A call of Stripe's has a few dozen parameters; this bounds what a mistake can cost.
const MOST_PARAMETERS: usize = 2000;
const DEEPEST: usize = 6;

/// One parameter: a text, or named children (an array's children are named by their index).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) text: Option<String>,
    pub(crate) children: Vec<(String, Node)>,
}

impl Node {
    /// Reads a query or body; what cannot be read as brackets stays a plain, hence unknown, name.
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        let mut root = Self::default();
        for (name, value) in form_urlencoded::parse(encoded).take(MOST_PARAMETERS) {
            root.insert(&path(&name), value.into_owned());
        }
        root
    }

    fn insert(&mut self, path: &[String], value: String) {
        let Some((first, rest)) = path.split_first() else {
            self.text = Some(value);
            return;
        };
        self.child(first).insert(rest, value);
    }

    fn child(&mut self, name: &str) -> &mut Node {
        let name = if name.is_empty() {
            self.children.len().to_string()
        } else {
            name.to_owned()
        };
        let at = self.children.iter().position(|(n, _)| *n == name);
        let at = at.unwrap_or_else(|| {
            self.children.push((name, Self::default()));
            self.children.len() - 1
        });
        &mut self.children[at].1
    }

    /// Takes over another tree's parameters (a POST may have some in its address).
    pub(crate) fn extend(&mut self, other: Self) {
        self.children.extend(other.children);
    }

    /// One text for equal parameters, however they were ordered or encoded.
    pub(crate) fn canonical(&self) -> String {
        let mut lines = Vec::new();
        self.lines("", &mut lines);
        lines.sort();
        lines.join("&")
    }

    fn lines(&self, prefix: &str, lines: &mut Vec<String>) {
        if let Some(text) = &self.text {
            lines.push(format!("{prefix}={text:?}"));
        }
        for (name, child) in &self.children {
            child.lines(&format!("{prefix}[{name:?}]"), lines);
        }
    }
}

/// `a[b][]` is `a`, `b` and an empty name.
fn path(name: &str) -> Vec<String> {
    let whole = || vec![name.to_owned()];
    let Some(open) = name.find('[') else {
        return whole();
    };
    let (head, mut rest) = name.split_at(open);
    let mut path = vec![head.to_owned()];
    while !rest.is_empty() {
        let Some(inner) = rest.strip_prefix('[') else {
            return whole();
        };
        let Some((segment, after)) = inner.split_once(']') else {
            return whole();
        };
        path.push(segment.to_owned());
        rest = after;
    }
    if head.is_empty() || path.len() > DEEPEST {
        return whole();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(node: &Node, name: &str) -> Vec<String> {
        let (_, list) = node.children.iter().find(|(n, _)| n == name).unwrap();
        list.children
            .iter()
            .filter_map(|(_, child)| child.text.clone())
            .collect()
    }

    #[test]
    fn arrays_are_read_with_and_without_indices_encoded_or_not() {
        for body in [
            "k[]=a&k[]=b",
            "k[0]=a&k[1]=b",
            "k%5B%5D=a&k%5B%5D=b",
            "k%5B0%5D=a&k%5B1%5D=b",
        ] {
            assert_eq!(texts(&Node::parse(body.as_bytes()), "k"), ["a", "b"]);
        }
    }

    #[test]
    fn equal_parameters_in_another_order_are_the_same() {
        let one = Node::parse(b"a=1&options[document][allowed_types][]=passport&b=2");
        let two = Node::parse(b"b=2&options%5Bdocument%5D%5Ballowed_types%5D%5B0%5D=passport&a=1");
        assert_eq!(one.canonical(), two.canonical());
        assert_ne!(one.canonical(), Node::parse(b"a=1&b=2").canonical());
    }

    #[test]
    fn a_name_with_broken_brackets_is_just_an_odd_name() {
        for name in ["a[b", "a]b[", "[a]", "a[b]c", "a[1][2][3][4][5][6][7]"] {
            assert_eq!(path(name), [name]);
        }
    }
}
