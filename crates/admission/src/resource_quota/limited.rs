//! What may be used only where a quota covers it: the configuration of the plugin ResourceQuota.
//!
//! upstream: apiserver/pkg/admission/plugin/resourcequota/apis

use std::collections::BTreeSet;

use kinds::KindDef;
use kinds::quota::{self, Amounts};
use machinery::Object;
use machinery::quantity::Quantity;
use serde_json::Value;

use crate::configuration::hold_to;

const KNOWN: [(&str, &str); 3] = [
    ("apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration"),
    ("resourcequota.admission.k8s.io/v1beta1", "Configuration"),
    ("resourcequota.admission.k8s.io/v1alpha1", "Configuration"),
];

/// Resources whose use needs a quota.
#[derive(Debug, Default)]
pub struct Limited(Vec<Item>);

#[derive(Debug)]
struct Item {
    group: String,
    resource: String,
    /// Parts of the names that quotas count by.
    contains: Vec<String>,
    scopes: Vec<Value>,
}

impl Limited {
    /// The error says what is wrong.
    pub fn parse(config: &Value) -> Result<Self, String> {
        hold_to(config, &KNOWN)?;
        let items = config["limitedResources"].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(|(at, item)| Item::parse(at, item)).collect::<Result<_, _>>().map(Self)
    }

    /// What of the use some quota must count.
    pub fn names<'a>(&self, kind: &KindDef, usage: &'a Amounts) -> BTreeSet<&'a str> {
        let items =
            self.0.iter().filter(|item| (item.group.as_str(), item.resource.as_str()) == (kind.group, kind.resource));
        let parts: Vec<&String> = items.flat_map(|item| &item.contains).collect();
        let used = usage.iter().filter(|(_, amount)| **amount > Quantity::ZERO).map(|(name, _)| name.as_str());
        used.filter(|name| parts.iter().any(|part| name.contains(part.as_str()))).collect()
    }

    /// The scopes of which some quota must have one for the object.
    pub fn scopes(&self, kind: &KindDef, object: &Object) -> Vec<&Value> {
        let scopes = self.0.iter().flat_map(|item| &item.scopes);
        scopes.filter(|scope| quota::fits_scope(scope, kind, object)).collect()
    }
}

impl Item {
    fn parse(at: usize, item: &Value) -> Result<Self, String> {
        let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
        let list = |field: &str| item[field].as_array().cloned().unwrap_or_default();
        if text("resource").is_empty() {
            return Err(format!("limitedResources[{at}].resource: Required value"));
        }
        let contains = list("matchContains").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self { group: text("apiGroup"), resource: text("resource"), contains, scopes: list("matchScopes") })
    }
}

/// As Go prints a scope: `{PriorityClass In [high]}`.
pub fn shown(scope: &Value) -> String {
    let text = |field: &str| scope[field].as_str().unwrap_or_default().to_owned();
    let values: Vec<&str> = scope["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    format!("{{{} {} [{}]}}", text("scopeName"), text("operator"), values.join(" "))
}
