//! Which of the fields that a write names count as written by it.

use super::set::Set;

pub enum Filter {
    /// All but these and what is below them.
    Without(Set),
    /// Those on these paths, of at least one element each, and what is below them; `*` stands for any element.
    Within(&'static [&'static [&'static str]]),
}

impl Filter {
    pub fn of(&self, fields: Set) -> Set {
        match self {
            Self::Without(none) if none.is_empty() => fields,
            Self::Without(reset) => fields.recursive_difference(reset),
            Self::Within(paths) => fields.within(paths),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_fields_on_the_paths_and_below_them_are_let_through() {
        let all = json!({"f:metadata": {"f:labels": {}}, "f:spec": {"f:nodeName": {}, "f:containers": {
            ".": {}, "k:{\"name\":\"a\"}": {".": {}, "f:image": {}, "f:resources": {".": {}, "f:limits": {}}}}}});
        let set = Set::from_fields(&all).unwrap();
        let own = Filter::Within(&[&["spec", "containers", "*", "resources"]]).of(set);
        let expected = json!({"f:spec": {"f:containers": {
            ".": {}, "k:{\"name\":\"a\"}": {".": {}, "f:resources": {".": {}, "f:limits": {}}}}}});
        assert_eq!(own.to_fields(), expected);
    }
}
