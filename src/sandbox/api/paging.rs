//! Lists, newest first: `limit`, `starting_after`, `ending_before` and ranges of `created`.

use serde_json::{Map, Value, json};

use crate::sandbox::{
    refusal::Refusal,
    shape::{Field, Shape, TEXT, may},
    shelf::{Identified, Shelf},
};

const DEFAULT_LIMIT: u64 = 10;

pub(super) const LIMIT: Field = may("limit", Shape::Number(1, 100));
pub(super) const AFTER: Field = may("starting_after", TEXT);
pub(super) const BEFORE: Field = may("ending_before", TEXT);

/// One page of a shelf.
pub(super) struct Page<'a, T> {
    pub(super) items: Vec<&'a T>,
    has_more: bool,
}

/// The page that the parameters ask for, of the objects that fit.
pub(super) fn page<'a, T: Identified>(
    shelf: &'a Shelf<T>,
    asked: &Map<String, Value>,
    noun: &str,
    fits: impl Fn(&T) -> bool,
) -> Result<Page<'a, T>, Refusal> {
    let place = |name: &str| match asked.get(name).and_then(Value::as_str) {
        None => Ok(None),
        Some(id) => shelf.place(id).map(Some).ok_or_else(|| {
            let mut refusal = Refusal::missing(noun, id, name);
            refusal.status = 400;
            refusal
        }),
    };
    let (after, before) = (place("starting_after")?, place("ending_before")?);
    if after.is_some() && before.is_some() {
        let message = "starting_after and ending_before cannot be sent together.";
        return Err(Refusal::invalid(message)
            .code("parameters_exclusive")
            .param("ending_before"));
    }
    let limit = asked.get("limit").and_then(Value::as_u64);
    let limit = usize::try_from(limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or(usize::MAX);
    let all = shelf.newest_first().filter(|(_, item)| fits(item));
    // One more than the page holds tells whether there is another.
    let mut items: Vec<&T> = match before {
        Some(before) => all
            .rev()
            .filter(|(place, _)| *place > before)
            .map(|(_, item)| item)
            .take(limit + 1)
            .collect(),
        None => all
            .filter(|(place, _)| after.is_none_or(|after| *place < after))
            .map(|(_, item)| item)
            .take(limit + 1)
            .collect(),
    };
    let has_more = items.len() > limit;
    items.truncate(limit);
    if before.is_some() {
        items.reverse();
    }
    Ok(Page { items, has_more })
}

impl<T> Page<'_, T> {
    /// Stripe's list object.
    pub(super) fn render(&self, url: &str, item: impl Fn(&T) -> Value) -> Value {
        let data: Vec<Value> = self.items.iter().map(|found| item(found)).collect();
        json!({ "object": "list", "url": url, "has_more": self.has_more, "data": data })
    }
}

/// Does a second lie in the range that was asked for?
pub(super) fn in_range(range: Option<&Value>, created: i64) -> bool {
    let Some(range) = range else {
        return true;
    };
    if let Some(exactly) = range.as_i64() {
        return created == exactly;
    }
    let holds = |name: &str, compare: fn(&i64, &i64) -> bool| {
        let bound = range[name].as_i64();
        bound.is_none_or(|bound| compare(&created, &bound))
    };
    holds("gt", i64::gt) && holds("gte", i64::ge) && holds("lt", i64::lt) && holds("lte", i64::le)
}

/// Does a member equal what was asked for, if anything was?
pub(super) fn equals(asked: &Map<String, Value>, name: &str, found: Option<&str>) -> bool {
    let wanted = asked.get(name).and_then(Value::as_str);
    wanted.is_none_or(|wanted| found == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(asked: &Value) -> (Vec<String>, bool) {
        let mut shelf = Shelf::new(100);
        for number in 0..5 {
            shelf.insert(format!("o_{number}"));
        }
        let asked = asked.as_object().unwrap();
        let page = page(&shelf, asked, "object", |id: &String| id != "o_2").unwrap();
        let found = page.items.iter().map(|id| (*id).clone()).collect();
        (found, page.has_more)
    }

    #[test]
    fn pages_go_both_ways_and_say_whether_there_is_more() {
        let cases = [
            (json!({}), vec!["o_4", "o_3", "o_1", "o_0"], false),
            (json!({ "limit": 2 }), vec!["o_4", "o_3"], true),
            (
                json!({ "limit": 2, "starting_after": "o_3" }),
                vec!["o_1", "o_0"],
                false,
            ),
            (
                json!({ "limit": 2, "ending_before": "o_0" }),
                vec!["o_3", "o_1"],
                true,
            ),
            (
                json!({ "starting_after": "o_2" }),
                vec!["o_1", "o_0"],
                false,
            ),
        ];
        for (asked, expected, more) in cases {
            let (found, has_more) = ids(&asked);
            assert_eq!(
                (found, has_more),
                (expected.iter().map(|s| (*s).to_owned()).collect(), more),
                "{asked}"
            );
        }
    }

    #[test]
    fn ranges_are_open_or_closed() {
        let range = json!({ "gt": 5, "lte": 7 });
        let inside: Vec<i64> = (4..9).filter(|s| in_range(Some(&range), *s)).collect();
        assert_eq!(inside, [6, 7]);
        assert!(in_range(Some(&json!(5)), 5) && !in_range(Some(&json!(5)), 6));
    }
}
