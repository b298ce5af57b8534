//! Lists by every combination of their options.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use store::Store as _;

use crate::support::{Api, Got, start};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Three config maps; the answer has the revision at which there were two.
async fn ready() -> (Api, u64) {
    let api = start().await.bootstrapped().await;
    for name in ["a", "b"] {
        api.post(CONFIG_MAPS, &json!({"metadata": {"name": name, "labels": {"of": name}}})).await.expect(201);
    }
    let then = api.revision().await;
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "c"}})).await.expect(201);
    (api, then)
}

/// `a b, 1 more` or `400 BadRequest: why`.
fn shown(got: &Got) -> String {
    if got.status.as_u16() != 200 {
        return got.problem().replace("ListOptions.meta.k8s.io \"\" is invalid: ", "");
    }
    let list = got.json();
    let names: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect();
    match list["metadata"]["continue"].as_str() {
        None => names.join(" "),
        Some(_) => format!("{}, {} more", names.join(" "), list["metadata"]["remainingItemCount"]),
    }
}

#[tokio::test]
async fn options_mean_what_they_mean_upstream() {
    let (api, then) = ready().await;
    let match_ = "422 Invalid: resourceVersionMatch";
    for (options, wanted) in [
        ("", "a b c".to_owned()),
        ("limit=2", "a b, 1 more".to_owned()),
        ("limit=0", "a b c".to_owned()),
        ("limit=-1", "a b c".to_owned()),
        ("limit=99999999999", "a b c".to_owned()),
        ("limit=x", "400 BadRequest: strconv.ParseInt: parsing \"x\": invalid syntax".to_owned()),
        ("limit=", "400 BadRequest: strconv.ParseInt: parsing \"\": invalid syntax".to_owned()),
        (
            "limit=99999999999999999999",
            "400 BadRequest: strconv.ParseInt: parsing \"99999999999999999999\": value out of range".to_owned(),
        ),
        ("resourceVersion=0", "a b c".to_owned()),
        ("resourceVersion=0&limit=2", "a b c".to_owned()),
        ("resourceVersion=0&resourceVersionMatch=NotOlderThan", "a b c".to_owned()),
        (
            "resourceVersion=0&resourceVersionMatch=Exact",
            format!("{match_}: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""),
        ),
        ("resourceVersion=THEN", "a b c".to_owned()),
        ("resourceVersion=THEN&limit=2", "a b".to_owned()),
        ("resourceVersion=THEN&limit=1", "a, 1 more".to_owned()),
        ("resourceVersion=THEN&limit=2&resourceVersionMatch=NotOlderThan", "a b, 1 more".to_owned()),
        ("resourceVersion=THEN&resourceVersionMatch=Exact", "a b".to_owned()),
        ("resourceVersion=THEN&resourceVersionMatch=Exact&limit=1", "a, 1 more".to_owned()),
        (
            "resourceVersion=x",
            "400 BadRequest: invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: \
             parsing \"x\": invalid syntax"
                .to_owned(),
        ),
        (
            "resourceVersion=-1",
            "400 BadRequest: invalid resource version: resourceVersion: Invalid value: \"-1\": strconv.ParseUint: \
             parsing \"-1\": invalid syntax"
                .to_owned(),
        ),
        (
            "resourceVersionMatch=Exact",
            format!("{match_}: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ),
        (
            "resourceVersion=THEN&resourceVersionMatch=Newest",
            format!("{match_}: Unsupported value: \"Newest\": supported values: \"Exact\", \"NotOlderThan\", \"\""),
        ),
        (
            "sendInitialEvents=false",
            "422 Invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list".to_owned(),
        ),
        (
            "watch=1&sendInitialEvents=true",
            format!("{match_}: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        ),
        (
            "watch=1&sendInitialEvents=true&resourceVersionMatch=Exact",
            "422 Invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to \
             NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\"]"
                .to_owned(),
        ),
        (
            "watch=1&resourceVersionMatch=NotOlderThan",
            format!(
                "{match_}: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            ),
        ),
        (
            "watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&continue=x",
            format!("{match_}: Forbidden: resourceVersionMatch is forbidden when continue is provided"),
        ),
        (
            "watch=1&resourceVersion=x",
            "500 : resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax".to_owned(),
        ),
        ("fieldSelector=metadata.name%3Db", "b".to_owned()),
        ("fieldSelector=metadata.name%3Db&limit=1&resourceVersion=THEN", "b".to_owned()),
        ("fieldSelector=metadata.name%3Dc&resourceVersion=THEN&resourceVersionMatch=Exact", String::new()),
        ("labelSelector=of%3Da", "a".to_owned()),
        ("labelSelector=of&limit=1", "a, null more".to_owned()),
        (
            "labelSelector=of%3D%3D%3D",
            "400 BadRequest: unable to parse requirement: found '=', expected: identifier".to_owned(),
        ),
        (
            "fieldSelector=spec.x%3D1",
            "400 BadRequest: \"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                .to_owned(),
        ),
    ] {
        let got = api.get(&format!("{CONFIG_MAPS}?{}", options.replace("THEN", &then.to_string()))).await;
        assert_eq!(shown(&got), wanted, "{options}");
    }
}

#[tokio::test]
async fn a_continued_list_takes_no_other_revision() {
    let (api, _) = ready().await;
    let first = api.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let go_on = async |options: &str| shown(&api.get(&format!("{CONFIG_MAPS}?continue={token}{options}")).await);
    assert_eq!(go_on("").await, "c");
    assert_eq!(go_on("&resourceVersion=0&limit=1").await, "c");
    assert_eq!(
        go_on("&resourceVersion=5").await,
        "400 BadRequest: specifying resource version is not allowed when using continue"
    );
    assert_eq!(
        go_on("&resourceVersion=5&resourceVersionMatch=Exact").await,
        "422 Invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided"
    );
}

/// A token as a client might make one up.
fn token(revision: i64, start: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).to_string())
}

#[tokio::test(start_paused = true)]
async fn made_up_tokens_reach_nothing_else() {
    let (api, then) = ready().await;
    api.post("/api/v1/namespaces/default/secrets", &json!({"metadata": {"name": "hidden"}})).await.expect(201);
    let page = async |token: &str| shown(&api.get(&format!("{CONFIG_MAPS}?continue={token}")).await);
    assert_eq!(page(&token(then as i64, "b")).await, "b");
    assert_eq!(page(&token(-7, "b")).await, "b c", "negative: at the newest revision");
    assert_eq!(page(&token(-1, "~")).await, "");
    let escaping = page(&token(-1, "../../secrets/default/hidden")).await;
    assert_eq!(
        escaping,
        "400 BadRequest: invalid continue token: continue key is not valid: ../../secrets/default/hidden"
    );
    let future = page(&token(1000, "b")).await;
    assert!(future.starts_with("504 Timeout: Timeout: Too large resource version: 1000, current: "), "{future}");
}

#[tokio::test]
async fn what_is_compacted_is_gone_with_a_token_for_the_rest() {
    let (api, then) = ready().await;
    let first = api.get(&format!("{CONFIG_MAPS}?limit=1")).await.expect(200);
    api.delete(&format!("{CONFIG_MAPS}/b")).await.expect(200);
    api.get(CONFIG_MAPS).await.expect(200);
    api.store.compact(u64::MAX).await.unwrap();
    let gone = api.get(&format!("{CONFIG_MAPS}?resourceVersion={then}&resourceVersionMatch=Exact")).await;
    assert_eq!(gone.problem(), "410 Expired: The resourceVersion for the provided list is too old.");
    let token = first["metadata"]["continue"].as_str().unwrap();
    let gone = api.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await;
    assert!(gone.problem().starts_with("410 Expired: The provided continue parameter is too old"), "{gone:?}");
    let rest = gone.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(shown(&api.get(&format!("{CONFIG_MAPS}?limit=1&continue={rest}")).await), "c");
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_is_yet_to_come_is_waited_for_and_then_given_up() {
    let (api, _) = ready().await;
    let now = api.revision().await;
    for uri in [
        format!("{CONFIG_MAPS}?resourceVersion=1000"),
        format!("{CONFIG_MAPS}?resourceVersion=1000&resourceVersionMatch=Exact"),
        format!("{CONFIG_MAPS}?resourceVersion=1000&limit=1"),
        format!("{CONFIG_MAPS}/a?resourceVersion=1000"),
    ] {
        let begun = tokio::time::Instant::now();
        let got = api.get(&uri).await;
        assert_eq!(begun.elapsed().as_secs(), 3, "{uri}");
        assert_eq!(got.problem(), format!("504 Timeout: Timeout: Too large resource version: 1000, current: {now}"));
        assert_eq!(got.headers["retry-after"], "1");
        let details = &got.json()["details"];
        assert_eq!(
            details["causes"][0],
            json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"})
        );
        assert_eq!(details["retryAfterSeconds"], 1);
    }
    let next = format!("{CONFIG_MAPS}?resourceVersion={}", now + 1);
    let (waited, made) =
        tokio::join!(api.get(&next), async { api.post(CONFIG_MAPS, &json!({"metadata": {"name": "d"}})).await });
    assert_eq!((shown(&waited).as_str(), made.status.as_u16()), ("a b c d", 201));
    let wrong = api.get(&format!("{CONFIG_MAPS}/a?resourceVersion=x")).await;
    assert_eq!(
        wrong.problem(),
        "500 : resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"
    );
}
