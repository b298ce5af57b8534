//! Who is asked a second time, because others changed the object after it.
//!
//! upstream: apiserver/pkg/admission/reinvocation.go

use std::collections::HashSet;

use machinery::Object;

/// Of the webhooks or of the policies, over both rounds of one request.
#[derive(Default)]
pub struct Reinvocation {
    /// The object as the last of them left it.
    last: Option<Object>,
    /// Who was asked and wants to be asked again after a change.
    asked: HashSet<String>,
    again: HashSet<String>,
}

/// The two rounds of one request.
#[derive(Default)]
pub struct Rounds {
    pub second: bool,
    /// Something that may want a second round has changed the object.
    pub changed: bool,
    pub policies: Reinvocation,
    pub webhooks: Reinvocation,
}

impl Rounds {
    /// As annotations count.
    pub fn number(&self) -> usize {
        usize::from(self.second)
    }
}

impl Reinvocation {
    /// Before a round: in the second, what others changed since the first matters to all who were asked.
    pub fn begin(&mut self, second: bool, object: Option<&Object>) {
        if second && self.last.as_ref() != object {
            self.changed();
        }
    }

    /// After a round.
    pub fn end(&mut self, object: Option<&Object>) {
        self.last = object.cloned();
    }

    /// Whether it may be asked: nobody is asked for the first time in the second round.
    pub fn takes(&self, second: bool, key: &str) -> bool {
        !second || self.again.contains(key)
    }

    /// The object was changed: who was asked before is asked again.
    pub fn changed(&mut self) {
        self.again.extend(self.asked.drain());
    }

    pub fn was_asked(&mut self, key: String) {
        self.asked.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[test]
    fn who_was_asked_before_a_change_is_asked_again() {
        let (mut policies, a, b) = (Reinvocation::default(), object(r#"{"a":1}"#), object(r#"{"a":2}"#));
        policies.begin(false, Some(&a));
        policies.was_asked("first".to_owned());
        policies.changed();
        policies.was_asked("second".to_owned());
        policies.end(Some(&a));
        policies.begin(true, Some(&a));
        assert!(policies.takes(true, "first") && !policies.takes(true, "second"));
        policies.begin(true, Some(&b));
        assert!(policies.takes(true, "second") && !policies.takes(true, "third"));
    }
}
