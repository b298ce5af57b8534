//! Lists, pages and reads of the past.

use std::time::Duration;

use registry::{ListOptions, VersionMatch};
use store::Store;

use crate::{Api, api, config_maps, kind, names};

async fn filled(count: usize) -> Api {
    let api = api().await;
    for number in 0..count {
        api.put_map(&format!("m{number:02}"), if number % 2 == 0 { "even" } else { "odd" }).await;
    }
    api
}

fn page(limit: usize, token: &str) -> ListOptions {
    ListOptions { limit, continue_token: token.to_owned(), ..ListOptions::default() }
}

#[tokio::test]
async fn a_list_shows_what_was_written_before_it() {
    let api = filled(3).await;
    let list = api.list_maps(ListOptions::default()).await.unwrap();
    assert_eq!((names(&list).as_str(), list.revision), ("m00 m01 m02", api.store.revision().await.unwrap()));
    assert_eq!((list.continue_token.as_str(), list.remaining), ("", None));
    let elsewhere = api.registry.list(config_maps(), "other", &ListOptions::default()).await.unwrap();
    assert!(elsewhere.items.is_empty());
    let everywhere = api.registry.list(config_maps(), "", &ListOptions::default()).await.unwrap();
    assert_eq!(everywhere.items.len(), 3);
}

#[tokio::test]
async fn selectors_choose() {
    let api = filled(4).await;
    let select = async |labels: &str, fields: &str| {
        let options = ListOptions {
            label_selector: labels.to_owned(),
            field_selector: fields.to_owned(),
            ..ListOptions::default()
        };
        api.list_maps(options).await.map(|list| names(&list)).map_err(|error| error.to_string())
    };
    assert_eq!(select("of=even", "").await.unwrap(), "m00 m02");
    assert_eq!(select("of in (odd), of!=x", "metadata.name!=m01").await.unwrap(), "m03");
    assert_eq!(select("", "metadata.name=m01").await.unwrap(), "m01");
    assert_eq!(select("of=even", "metadata.name=m01").await.unwrap(), "");
    let unknown = select("", "spec.x=1").await.unwrap_err();
    assert_eq!(unknown, r#""spec.x" is not a known field selector: only "metadata.name", "metadata.namespace""#);
    let pods = ListOptions { field_selector: "spec.x=1".to_owned(), ..ListOptions::default() };
    let unknown = api.registry.list(kind("", "v1", "pods"), "", &pods).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.message.as_str()), (400, "field label not supported: spec.x"));
}

#[tokio::test]
async fn pages_show_one_revision_while_others_write() {
    let api = filled(7).await;
    let first = api.list_maps(page(3, "")).await.unwrap();
    assert_eq!((names(&first).as_str(), first.remaining), ("m00 m01 m02", Some(4)));
    api.delete_map("m04").await;
    api.put_map("m03a", "new").await;
    api.put_map("m05", "changed").await;
    let second = api.list_maps(page(3, &first.continue_token)).await.unwrap();
    assert_eq!((names(&second).as_str(), second.remaining), ("m03 m04 m05", Some(1)));
    assert_eq!(second.items[2].object().str(&["data", "key"]), "odd", "as it was then");
    assert_eq!(second.revision, first.revision);
    let last = api.list_maps(page(3, &second.continue_token)).await.unwrap();
    assert_eq!((names(&last).as_str(), last.continue_token.as_str(), last.remaining), ("m06", "", None));
}

#[tokio::test]
async fn pages_are_full_of_what_is_selected() {
    let api = filled(9).await;
    let even = |token: &str| ListOptions { label_selector: "of=even".to_owned(), ..page(2, token) };
    let first = api.list_maps(even("")).await.unwrap();
    assert_eq!((names(&first).as_str(), first.remaining), ("m00 m02", None));
    api.put_map("m04", "odd").await;
    let second = api.list_maps(even(&first.continue_token)).await.unwrap();
    assert_eq!(names(&second), "m04 m06");
    let last = api.list_maps(even(&second.continue_token)).await.unwrap();
    assert_eq!((names(&last).as_str(), last.continue_token.as_str()), ("m08", ""));
}

#[tokio::test]
async fn an_expired_page_says_how_to_go_on() {
    let api = filled(5).await;
    let first = api.list_maps(page(2, "")).await.unwrap();
    api.put_map("m01a", "new").await;
    api.delete_map("m03").await;
    api.store.compact(u64::MAX).await.unwrap();
    let error = api.list_maps(page(2, &first.continue_token)).await.unwrap_err();
    assert_eq!(error.code(), 410);
    assert!(
        error.message.starts_with("The provided continue parameter is too old to display a consistent list result.")
    );
    let token = error.status()["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = api.list_maps(page(2, &token)).await.unwrap();
    assert_eq!(names(&rest), "m01a m02");
}

/// Even where nothing has changed: who pages on is told after the time that is promised, whatever others wrote.
#[tokio::test(start_paused = true)]
async fn a_page_of_what_is_unchanged_expires_with_the_history() {
    let api = filled(3).await;
    let first = api.list_maps(page(2, "")).await.unwrap();
    let secret =
        serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}});
    api.create(kind("", "v1", "secrets"), secret).await.unwrap();
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_eq!(names(&api.list_maps(page(2, &first.continue_token)).await.unwrap()), "m02");
    tokio::time::sleep(Duration::from_mins(4)).await;
    let error = api.list_maps(page(2, &first.continue_token)).await.unwrap_err();
    assert_eq!(error.code(), 410);
    let token = error.status()["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(names(&api.list_maps(page(2, &token)).await.unwrap()), "m02");
}

#[tokio::test]
async fn the_past_is_read_exactly_when_asked() {
    let api = filled(2).await;
    let then = api.list_maps(ListOptions::default()).await.unwrap().revision;
    api.delete_map("m00").await;
    let at = |revision: u64, version_match| ListOptions {
        resource_version: revision.to_string(),
        version_match,
        ..ListOptions::default()
    };
    let exact = api.list_maps(at(then, Some(VersionMatch::Exact))).await.unwrap();
    assert_eq!((names(&exact).as_str(), exact.revision), ("m00 m01", then));
    assert_eq!(names(&api.list_maps(ListOptions::default()).await.unwrap()), "m01");
    assert_eq!(names(&api.list_maps(at(then, None)).await.unwrap()), "m01", "not older is as good as newer");
    let any = ListOptions { resource_version: "0".to_owned(), ..ListOptions::default() };
    assert_eq!(api.list_maps(any).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_is_yet_to_come_times_out() {
    let api = filled(1).await;
    let error = api.registry.get(config_maps(), "default", "m00", "1000").await.unwrap_err();
    assert_eq!((error.code(), error.message.as_str()), (504, "Timeout: Too large resource version: 1000, current: 2"));
    let error = api.registry.get(config_maps(), "default", "m00", "x").await.unwrap_err();
    assert_eq!(error.code(), 500);
}
