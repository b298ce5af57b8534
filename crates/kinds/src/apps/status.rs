//! What the status of a workload may say.

use machinery::Object;
use machinery::field::{Error, ErrorList};

use crate::check::{At, non_negative};

/// The counts of a status, and which of them cannot be more than which.
pub struct Counts {
    pub fields: &'static [&'static str],
    /// A field, one that it may not exceed, and how upstream calls that one.
    pub bounds: &'static [(&'static str, &'static str, &'static str)],
}

impl Counts {
    pub fn validate(&self, new: &Object, old: &Object) -> ErrorList {
        let status = At::field(new, "status");
        let count = |field: &str| status.child(field).int().unwrap_or(0);
        let mut errors: ErrorList = self.fields.iter().filter_map(|field| non_negative(&status.child(field))).collect();
        for (field, bound, called) in self.bounds {
            if count(field) > count(bound) {
                let (path, shown) = (status.path.child(field), count(field));
                errors.push(Error::invalid(&path, shown, format!("cannot be greater than {called}")));
            }
        }
        let collisions = status.child("collisionCount");
        if old.int(&["status", "collisionCount"]).is_some_and(|before| collisions.int().unwrap_or(-1) < before) {
            let shown = collisions.int().unwrap_or(0);
            errors.push(Error::invalid(&collisions.path, shown, "cannot be decremented"));
        }
        errors
    }
}
