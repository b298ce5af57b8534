//! What the API server does in a second, and what it holds.

mod cache;
mod definitions;
mod requests;
mod watchers;

use crate::cluster::Subject;
use crate::flags::Sizes;
use crate::report::Measure;

/// Each part has a server of its own. A given cluster is not restarted, and its memory is not known.
pub async fn run(subject: &Subject, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let mut measures = requests::run(subject, sizes).await?;
    measures.extend(watchers::run(subject, sizes).await?);
    if matches!(subject, Subject::Own { .. }) {
        measures.extend(cache::run(subject, sizes).await?);
        measures.extend(definitions::run(subject, sizes).await?);
    }
    Ok(measures)
}

fn config_maps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

fn object_name(index: u64) -> String {
    format!("object-{index:06}")
}
