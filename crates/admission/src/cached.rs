//! What is compiled from objects of the cluster: once for each version of an object.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use auth::View;
use auth::view::Resource;
use machinery::Object;

/// What one object was compiled to.
pub struct Item<T> {
    resource_version: String,
    uid: String,
    pub value: T,
}

/// The compiled objects of a resource, in the order of their names.
pub struct Cached<T> {
    resource: Resource,
    compile: fn(&Object) -> T,
    current: ArcSwap<State<T>>,
}

struct State<T> {
    /// Of the whole resource; none before the first look.
    version: Option<u64>,
    items: Arc<[Arc<Item<T>>]>,
}

impl<T> Cached<T> {
    pub fn new(resource: Resource, compile: fn(&Object) -> T) -> Self {
        let nothing = State { version: None, items: Arc::new([]) };
        Self { resource, compile, current: ArcSwap::from_pointee(nothing) }
    }

    /// What there is now. Compiles what has changed since the last look; two that look at once may both do so.
    pub fn get(&self, view: &dyn View) -> Arc<[Arc<Item<T>>]> {
        // Read first: what changes while the list is made is made again next time.
        let version = Some(view.version(self.resource));
        let current = self.current.load();
        if current.version == version {
            return current.items.clone();
        }
        let known: HashMap<(&str, &str), &Arc<Item<T>>> =
            current.items.iter().map(|item| ((item.uid.as_str(), item.resource_version.as_str()), item)).collect();
        let of = |object: &Object| match known.get(&(object.uid(), object.resource_version())) {
            Some(item) if !object.resource_version().is_empty() => (*item).clone(),
            _ => Arc::new(Item {
                resource_version: object.resource_version().to_owned(),
                uid: object.uid().to_owned(),
                value: (self.compile)(object),
            }),
        };
        let items: Arc<[_]> = view.list(self.resource, "").iter().map(of).collect();
        self.current.store(Arc::new(State { version, items: items.clone() }));
        items
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use auth::view::testing::Objects;

    use super::*;

    static COMPILED: AtomicUsize = AtomicUsize::new(0);

    #[test]
    fn an_object_is_compiled_once_for_each_version_of_it() {
        let cluster = Objects::default();
        let names = Cached::new(Resource::NODES, |object| {
            COMPILED.fetch_add(1, Ordering::Relaxed);
            object.name().to_owned()
        });
        let look = |lines: &str| {
            cluster.apply(lines);
            let found = names.get(&cluster);
            let found: Vec<&str> = found.iter().map(|item| item.value.as_str()).collect();
            (found.join(","), COMPILED.load(Ordering::Relaxed))
        };
        assert_eq!(look(""), (String::new(), 0));
        assert_eq!(look(r#"nodes b metadata.uid="1" metadata.resourceVersion="1""#), ("b".to_owned(), 1));
        assert_eq!(look(""), ("b".to_owned(), 1));
        assert_eq!(look(r#"nodes a metadata.uid="2" metadata.resourceVersion="2""#), ("a,b".to_owned(), 2));
        assert_eq!(look(r#"nodes b metadata.uid="1" metadata.resourceVersion="3""#), ("a,b".to_owned(), 3));
    }
}
