//! What requests cost of those who may not make them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use store::{KeyValue, Memory, Page, Result, Revision, Store, Watched, Write};
use tokio::sync::mpsc;

use crate::support::{Options, start_with};

/// Counts what is asked of it.
#[derive(Default)]
struct Counted {
    store: Memory,
    asked: AtomicUsize,
}

impl Counted {
    fn asked(&self) -> &Memory {
        self.asked.fetch_add(1, Ordering::Relaxed);
        &self.store
    }
}

#[async_trait]
impl Store for Counted {
    async fn revision(&self) -> Result<Revision> {
        self.asked().revision().await
    }

    async fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>> {
        self.asked().get(key, at).await
    }

    async fn range(&self, range: Range<String>, limit: usize, at: Option<Revision>) -> Result<Page> {
        self.asked().range(range, limit, at).await
    }

    async fn count(&self, range: Range<String>, at: Option<Revision>) -> Result<usize> {
        self.asked().count(range, at).await
    }

    async fn write(&self, write: Write) -> Result<Revision> {
        self.asked().write(write).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<mpsc::Receiver<Watched>> {
        self.asked().watch(prefix, from).await
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.asked().compact(revision).await
    }

    async fn lift(&self, revision: Revision) -> Result<()> {
        self.asked().lift(revision).await
    }
}

#[tokio::test]
async fn who_may_not_ask_for_a_group_that_is_not_there_does_not_make_the_server_look_for_it() {
    let store = Arc::new(Counted::default());
    let api = start_with(Options { store: Some(store.clone()), ..Options::default() }).await;
    let path = "/apis/nowhere.example.com/v1/namespaces/default/widgets";
    let before = store.asked.load(Ordering::Relaxed);
    for (who, refusal) in [
        ("", "401 Unauthorized: Unauthorized"),
        (
            "nobody",
            "403 Forbidden: widgets.nowhere.example.com is forbidden: User \"nobody\" cannot list resource \"widgets\" in \
             API group \"nowhere.example.com\" in the namespace \"default\"",
        ),
    ] {
        assert_eq!(api.as_user(who, "GET", path).await.problem(), refusal, "{who:?}");
    }
    assert_eq!(store.asked.load(Ordering::Relaxed), before);
    assert_eq!(api.get(path).await.status, 404);
    assert!(store.asked.load(Ordering::Relaxed) > before, "who may ask is told of what was written before");
}
