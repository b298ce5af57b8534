//! ResourceQuota.

use machinery::Object;
use serde_json::Value;

use crate::columns::{AGE, NAME, scalar};
use crate::def::{Column, KindDef, Strategy, Subresource};

pub static RESOURCE_QUOTA: KindDef = KindDef {
    kind: "ResourceQuota",
    resource: "resourcequotas",
    singular: "resourcequota",
    short_names: &["quota"],
    schema: "io.k8s.api.core.v1.ResourceQuota",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Request", "Use and limit of what is requested", |quota| usage(quota, false)),
        Column::string("Limit", "Use and limit of limits", |quota| usage(quota, true)),
        AGE,
    ],
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};

fn usage(quota: &Object, limits: bool) -> Value {
    let hard = quota.map(&["status", "hard"]).into_iter().flatten();
    let chosen = hard.filter(|(resource, _)| resource.starts_with("limits.") == limits);
    let texts: Vec<String> = chosen
        .map(|(resource, amount)| {
            let used = quota.get(&["status", "used", resource]).map_or_else(|| "0".to_owned(), scalar);
            format!("{resource}: {used}/{}", scalar(amount))
        })
        .collect();
    texts.join(", ").into()
}
