use serde_json::json;

use super::*;

fn secret(value: serde_json::Value) -> Secret {
    serde_json::from_value(value).unwrap()
}

fn mint() -> Mint {
    Arc::new(|of: &Holder<'_>| Ok(format!("{}/{}/{}/{}", of.namespace, of.account, of.account_uid, of.secret)))
}

#[test]
fn a_secret_that_asks_for_a_token_gets_one() {
    let account: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "bot", "namespace": "dev", "uid": "u1"}})).unwrap();
    let asking = |annotations: serde_json::Value, data: serde_json::Value| {
        secret(json!({
            "metadata": {"name": "s", "namespace": "dev", "annotations": annotations}, "data": data,
            "type": "kubernetes.io/service-account-token",
        }))
    };
    let named = json!({ACCOUNT: "bot"});
    let full = json!({ACCOUNT: "bot", "kubernetes.io/service-account.uid": "u1"});
    let data = json!({"token": "ZGV2L2JvdC91MS9z", "ca.crt": "Q0E=", "namespace": "ZGV2"});
    let filled = asking(full.clone(), data.clone());
    let own = asking(full.clone(), json!({"token": "b3du", "ca.crt": "Q0E=", "namespace": "ZGV2"}));
    let other = json!({ACCOUNT: "bot", "kubernetes.io/service-account.uid": "u0"});
    for (present, account, expected) in [
        (asking(named.clone(), json!({})), Some(&account), Fill::Write(Box::new(filled.clone()))),
        (filled.clone(), Some(&account), Fill::Nothing),
        (asking(full.clone(), json!({"token": "b3du", "ca.crt": "b2xk"})), Some(&account), Fill::Write(Box::new(own))),
        (filled, None, Fill::Delete),
        (asking(other, data), Some(&account), Fill::Delete),
    ] {
        assert_eq!(fill(&present, account, "CA", &mint()), Ok(expected));
    }
}

/// What is done a year after tracking began to a Secret with these labels, made and used as told.
#[test]
fn tokens_that_nobody_uses_are_marked_and_then_removed() {
    let now = "2026-11-26T12:00:00Z".parse().unwrap();
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let invalidate = Cleaning::Invalidate("2026-11-26".to_owned());
    let old = "2025-01-01T00:00:00Z";
    for (what, since, made, labels, listed, mounted, expected) in [
        ("never used", "2025-11-24", old, json!({}), true, false, Some(invalidate)),
        ("tracked too short", "2025-11-26", old, json!({}), true, false, None),
        ("tracked since who knows", "soon", old, json!({}), true, false, None),
        ("young", "2025-01-01", "2026-01-01T00:00:00Z", json!({}), true, false, None),
        ("used", "2025-01-01", old, json!({"kubernetes.io/legacy-token-last-used": "2025-11-26"}), true, false, None),
        ("used when?", "2025-01-01", old, json!({"kubernetes.io/legacy-token-last-used": "x"}), true, false, None),
        ("made by hand", "2025-01-01", old, json!({}), false, false, None),
        ("in a pod", "2025-01-01", old, json!({}), true, true, None),
        ("marked", "2025-01-01", old, json!({INVALID_SINCE: "2025-11-26"}), true, false, None),
        (
            "marked long ago",
            "2025-01-01",
            old,
            json!({INVALID_SINCE: "2025-11-25"}),
            true,
            false,
            Some(Cleaning::Delete),
        ),
    ] {
        let tracking = serde_json::from_value(json!({"data": {"since": since}})).unwrap();
        let secrets = [Arc::new(secret(json!({
            "metadata": {"name": "s", "namespace": "dev", "creationTimestamp": made, "labels": labels,
                "annotations": {ACCOUNT: "bot"}},
        })))];
        let names = if listed { json!([{"name": "s"}]) } else { json!([]) };
        let account = json!({"metadata": {"name": "bot", "namespace": "dev", "uid": "u1"}, "secrets": names});
        let volumes = if mounted { json!([{"name": "v", "secret": {"secretName": "s"}}]) } else { json!([]) };
        let pod =
            json!({"metadata": {"name": "p", "namespace": "dev"}, "spec": {"containers": [], "volumes": volumes}});
        let accounts = [Arc::new(serde_json::from_value(account).unwrap())];
        let pods = [Arc::new(serde_json::from_value(pod).unwrap())];
        let tokens = Tokens { tracking: &tracking, secrets: &secrets, accounts: &accounts, pods: &pods };
        let cleaned = clean(&tokens, year, now).into_iter().map(|(_, cleaning)| cleaning);
        assert_eq!(cleaned.collect::<Vec<_>>(), Vec::from_iter(expected), "{what}");
    }
}
