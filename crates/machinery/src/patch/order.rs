//! Where the items of a merged list stand: as the patch has them, and the others near their old neighbours.

use serde_json::Value;

/// Whether two items are the same: by merge key, or, where that is empty, as a whole.
pub(super) fn is_same(a: &Value, b: &Value, key: &str) -> bool {
    if key.is_empty() { a == b } else { a.get(key) == b.get(key) }
}

fn position(list: &[Value], item: &Value, key: &str) -> Option<usize> {
    list.iter().position(|of| is_same(of, item, key))
}

/// Orders `merged`: items in `order` as that has them, the rest as the server had them in `live`.
pub(super) fn ordered(merged: Vec<Value>, order: &[Value], live: &[Value], key: &str) -> Vec<Value> {
    let (mut patched, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| position(order, item, key).is_some());
    patched.sort_by_key(|item| position(order, item, key));
    others.sort_by_key(|item| position(live, item, key));
    interleave(patched, others, live, key)
}

/// Joins two ordered lists; an item of the first comes first only where the server had it so.
fn interleave(patched: Vec<Value>, others: Vec<Value>, live: &[Value], key: &str) -> Vec<Value> {
    let mut joined = Vec::with_capacity(patched.len() + others.len());
    let mut patched = patched.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    while let (Some(left), Some(right)) = (patched.peek(), others.peek()) {
        let positions = position(live, left, key).zip(position(live, right, key));
        let next = if positions.is_some_and(|(left, right)| left < right) { patched.next() } else { others.next() };
        joined.extend(next);
    }
    joined.extend(patched);
    joined.extend(others);
    joined
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
        check("abx", "x", "ab", "abx");
        check("abcx", "xa", "abc", "bcxa");
    }
}
