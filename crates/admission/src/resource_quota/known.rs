//! Quotas of namespaces, decoded once for each change of any of them.

use std::collections::HashMap;
use std::sync::Arc;

use auth::View;
use auth::view::Resource;
use machinery::Object;
use parking_lot::Mutex;

use super::balance::Balance;

/// Namespaces remembered at most; the memory starts anew when it is full.
const NAMESPACES_MAX: usize = 256;

#[derive(Default)]
pub struct Known(Mutex<HashMap<String, Version>>);

/// A quota, and what its amounts say.
pub struct Quota {
    pub object: Object,
    pub balance: Balance,
}

struct Version {
    /// Of all quotas.
    version: u64,
    quotas: Arc<[Quota]>,
}

impl Known {
    /// Those of a namespace now.
    pub fn list(&self, view: &dyn View, namespace: &str) -> Arc<[Quota]> {
        // Read first: what changes while the list is made is listed again next time.
        let version = view.version(Resource::RESOURCE_QUOTAS);
        if let Some(known) = self.0.lock().get(namespace).filter(|known| known.version == version) {
            return known.quotas.clone();
        }
        let quotas = view.list(Resource::RESOURCE_QUOTAS, namespace).into_iter();
        let quotas: Arc<[Quota]> = quotas.map(|object| Quota { balance: Balance::of(&object), object }).collect();
        let mut known = self.0.lock();
        if known.len() >= NAMESPACES_MAX {
            known.clear();
        }
        known.insert(namespace.to_owned(), Version { version, quotas: quotas.clone() });
        quotas
    }
}

#[cfg(test)]
mod tests {
    use auth::view::testing::Objects;

    use super::*;

    #[test]
    fn what_is_known_is_what_there_is() {
        let (cluster, known) = (Objects::default(), Known::default());
        let look = |lines: &str, namespace: &str| {
            cluster.apply(lines);
            known.list(&cluster, namespace).iter().map(|quota| quota.object.name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(look("", "dev"), Vec::<String>::new());
        assert_eq!(look("resourcequotas/dev a", "dev"), ["a"]);
        assert_eq!(look("resourcequotas/dev b", "dev"), ["a", "b"]);
        assert!(Arc::ptr_eq(&known.list(&cluster, "dev"), &known.list(&cluster, "dev")));
        assert_eq!(look("", "prod"), Vec::<String>::new());
    }
}
