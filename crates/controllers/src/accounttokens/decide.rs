use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use control::meta;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use serde_json::Value;

use super::{Holder, Mint};

pub const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
pub const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
pub const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// What becomes of a Secret that asks for a token.
#[derive(Debug, PartialEq)]
pub enum Fill {
    Nothing,
    Write(Box<Secret>),
    Delete,
}

/// `account` is the one whose name the Secret has.
pub fn fill(secret: &Secret, account: Option<&ServiceAccount>, authorities: &str, mint: &Mint) -> Result<Fill, String> {
    let meant = meta::annotation(&secret.metadata, ACCOUNT_UID).unwrap_or_default();
    let fits = |account: &&ServiceAccount| meant.is_empty() || meant == meta::uid(&account.metadata);
    let Some(account) = account.filter(fits) else { return Ok(Fill::Delete) };
    let namespace = meta::namespace(&secret.metadata);
    let holder = Holder {
        namespace,
        account: meta::name(&account.metadata),
        account_uid: meta::uid(&account.metadata),
        secret: meta::name(&secret.metadata),
    };
    let mut filled = secret.clone();
    let data = filled.data.get_or_insert_with(BTreeMap::new);
    for (key, value) in [("ca.crt", authorities), ("namespace", namespace)] {
        data.insert(key.to_owned(), ByteString(value.into()));
    }
    if data.get("token").is_none_or(|token| token.0.is_empty()) {
        data.insert("token".to_owned(), ByteString(mint(&holder)?.into_bytes()));
    }
    let annotations = filled.metadata.annotations.get_or_insert_with(BTreeMap::new);
    annotations.insert(ACCOUNT_UID.to_owned(), holder.account_uid.to_owned());
    Ok(if filled == *secret { Fill::Nothing } else { Fill::Write(Box::new(filled)) })
}

/// All that decides which tokens go.
pub struct Tokens<'a> {
    pub tracking: &'a ConfigMap,
    pub secrets: &'a [Arc<Secret>],
    pub accounts: &'a [Arc<ServiceAccount>],
    pub pods: &'a [Arc<Pod>],
}

#[derive(Debug, PartialEq)]
pub enum Cleaning {
    /// From this date on.
    Invalidate(String),
    Delete,
}

/// Touches only what was made for an account by itself: Secrets that it names and no pod uses.
pub fn clean<'a>(tokens: &Tokens<'a>, period: Duration, now: Timestamp) -> Vec<(&'a Secret, Cleaning)> {
    let since = tokens.tracking.data.as_ref().and_then(|data| data.get("since")?.parse::<Date>().ok());
    // Tracked for sure from the day after on.
    let since = since.and_then(|date| (date + 1.day()).to_zoned(TimeZone::UTC).ok()).map(|at| at.timestamp());
    if since.is_none_or(|since| now < since + period) {
        return Vec::new();
    }
    let date = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    let oldest = now - period;
    let is_recent =
        |label: Option<&str>| label.and_then(|text| text.parse::<Date>().ok()).is_some_and(|of| of >= date(oldest));
    let mut of_pods: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut cleaned = Vec::new();
    for secret in tokens.secrets {
        let meta = &secret.metadata;
        let last_used = meta::label(meta, LAST_USED);
        let unreadable = last_used.is_some_and(|text| text.parse::<Date>().is_err());
        let created = meta.creation_timestamp.as_ref().is_none_or(|at| at.0 >= oldest);
        let kept = created || meta::is_terminating(meta) || unreadable || is_recent(last_used);
        if kept || !is_named(secret, tokens.accounts) {
            continue;
        }
        let namespace = meta::namespace(meta);
        let used = of_pods.entry(namespace).or_insert_with(|| named_by_pods(tokens.pods, namespace));
        if used.contains(meta::name(meta)) {
            continue;
        }
        match meta::label(meta, INVALID_SINCE).filter(|text| text.parse::<Date>().is_ok()) {
            None => cleaned.push((&**secret, Cleaning::Invalidate(date(now).to_string()))),
            Some(invalid) if is_recent(Some(invalid)) => {}
            Some(_) => cleaned.push((&**secret, Cleaning::Delete)),
        }
    }
    cleaned
}

/// Whether the account of the Secret names it.
fn is_named(secret: &Secret, accounts: &[Arc<ServiceAccount>]) -> bool {
    let meta = &secret.metadata;
    let uid = meta::annotation(meta, ACCOUNT_UID).unwrap_or_default();
    accounts.iter().any(|account| {
        account.metadata.namespace == meta.namespace
            && account.metadata.name.as_deref() == meta::annotation(meta, ACCOUNT)
            && (uid.is_empty() || uid == meta::uid(&account.metadata))
            && account.secrets.iter().flatten().any(|of| of.name == meta.name)
    })
}

fn named_by_pods(pods: &[Arc<Pod>], namespace: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for pod in pods.iter().filter(|pod| pod.metadata.namespace.as_deref() == Some(namespace)) {
        let spec = serde_json::to_value(&pod.spec).expect("a spec is JSON");
        collect(&spec, "", &mut names);
    }
    names
}

/// Names of Secrets in all fields that hold some; a name too many keeps a token that might have gone.
fn collect(value: &Value, field: &str, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, field, names)),
        Value::Object(fields) => {
            let refers = field.to_lowercase().contains("secret");
            let named = |key: &&str| *key == "secretName" || refers;
            let found = ["secretName", "name"].into_iter().filter(named).filter_map(|key| fields.get(key)?.as_str());
            names.extend(found.map(str::to_owned));
            fields.iter().for_each(|(key, value)| collect(value, key, names));
        }
        _ => {}
    }
}
