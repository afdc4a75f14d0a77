//! A bounded shelf of objects in the order they were made; the oldest fall off.

use std::collections::{BTreeMap, HashMap};

/// Whatever has an id.
pub(crate) trait Identified {
    fn id(&self) -> &str;
}

pub(crate) struct Shelf<T> {
    items: BTreeMap<u64, T>,
    places: HashMap<String, u64>,
    next: u64,
    capacity: usize,
}

impl<T: Identified> Shelf<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            items: BTreeMap::new(),
            places: HashMap::new(),
            next: 0,
            capacity,
        }
    }

    pub(crate) fn insert(&mut self, item: T) {
        while self.items.len() >= self.capacity {
            let Some((_, oldest)) = self.items.pop_first() else {
                break;
            };
            self.places.remove(oldest.id());
        }
        self.places.insert(item.id().to_owned(), self.next);
        self.items.insert(self.next, item);
        self.next += 1;
    }

    pub(crate) fn find(&self, id: &str) -> Option<&T> {
        self.items.get(self.places.get(id)?)
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut T> {
        self.items.get_mut(self.places.get(id)?)
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<T> {
        self.items.remove(&self.places.remove(id)?)
    }

    /// Where in the order an object stands.
    pub(crate) fn place(&self, id: &str) -> Option<u64> {
        self.places.get(id).copied()
    }

    /// Newest first, each with its place.
    pub(crate) fn newest_first(&self) -> impl DoubleEndedIterator<Item = (u64, &T)> {
        self.items.iter().rev().map(|(place, item)| (*place, item))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.values_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Identified for String {
        fn id(&self) -> &str {
            self
        }
    }

    #[test]
    fn the_oldest_falls_off_a_full_shelf() {
        let mut shelf = Shelf::new(2);
        for id in ["a", "b", "c"] {
            shelf.insert(id.to_owned());
        }
        assert!(shelf.find("a").is_none());
        let left: Vec<_> = shelf.newest_first().map(|(_, id)| id.as_str()).collect();
        assert_eq!(left, ["c", "b"]);
        assert_eq!(shelf.len(), 2);
    }
}
