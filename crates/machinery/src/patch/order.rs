//! Where the items of a merged list stand: as the patch has them, new ones first, and the others near their old
//! neighbours.

use std::collections::HashMap;

use serde_json::Value;

/// What tells an item from others: its merge key or, where that is empty, all of it.
pub(super) fn identity(item: &Value, key: &str) -> String {
    if key.is_empty() { item.to_string() } else { item.get(key).map_or_else(String::new, Value::to_string) }
}

/// Where items stand in a list; of several that are the same, the first.
pub(super) struct Positions<'a> {
    by_identity: HashMap<String, usize>,
    key: &'a str,
}

impl<'a> Positions<'a> {
    pub fn of(list: &[Value], key: &'a str) -> Self {
        let mut positions = Self { by_identity: HashMap::with_capacity(list.len()), key };
        for (at, item) in list.iter().enumerate() {
            positions.add(item, at);
        }
        positions
    }

    pub fn add(&mut self, item: &Value, at: usize) {
        self.by_identity.entry(identity(item, self.key)).or_insert(at);
    }

    pub fn get(&self, item: &Value) -> Option<usize> {
        self.by_identity.get(&identity(item, self.key)).copied()
    }
}

/// Orders `merged`: items in `order` as that has them, the rest as the server had them in `live`.
pub(super) fn ordered(merged: Vec<Value>, order: &[Value], live: &[Value], key: &str) -> Vec<Value> {
    let (order, live) = (Positions::of(order, key), Positions::of(live, key));
    let (mut patched, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| order.get(item).is_some());
    patched.sort_by_cached_key(|item| order.get(item));
    others.sort_by_cached_key(|item| live.get(item));
    interleave(patched, others, &live)
}

/// Joins two ordered lists; an item of the second comes first only where the server had it so.
fn interleave(patched: Vec<Value>, others: Vec<Value>, live: &Positions<'_>) -> Vec<Value> {
    let mut joined = Vec::with_capacity(patched.len() + others.len());
    let placed = |item: Value| (live.get(&item), item);
    let mut patched = patched.into_iter().map(placed).peekable();
    let mut others = others.into_iter().map(placed).peekable();
    while let (Some((left, _)), Some((right, _))) = (patched.peek(), others.peek()) {
        let precedes = right.zip(*left).is_some_and(|(right, left)| right < left);
        joined.extend(if precedes { others.next() } else { patched.next() });
    }
    joined.extend(patched);
    joined.extend(others);
    joined.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(text: &str) -> Vec<Value> {
        text.chars().map(|c| c.to_string().into()).collect()
    }

    fn check(merged: &str, order: &str, live: &str, expected: &str) {
        let answer = ordered(letters(merged), &letters(order), &letters(live), "");
        assert_eq!(answer, letters(expected), "{merged} in order {order}, live {live}");
    }

    #[test]
    fn items_of_the_patch_come_in_its_order() {
        check("abc", "cba", "abc", "cba");
        check("abcd", "db", "abcd", "acdb");
        check("abx", "x", "ab", "xab");
        check("abcx", "xa", "abc", "xabc");
        check("abcx", "bx", "abc", "abxc");
    }
}
