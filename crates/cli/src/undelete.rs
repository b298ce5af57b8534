//! `undelete TYPE/NAME --at REVISION`

use http::Method;
use serde_json::Value;

use crate::connection::{Connection, JSON, Session};
use crate::discovery::Catalog;
use crate::{Error, Result, get, output, targets};

/// What the server sets by itself, and would refuse or keep from the object that was.
const OWN: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// TYPE/NAME or TYPE NAME...
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub targets: Vec<String>,
    /// A resource version at which the objects were there, and that the server remembers: some minutes
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(u64).range(1..))]
    pub at: u64,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(args: &Args) -> Result<()> {
    let session = Session::open(&args.connection).await?;
    let catalog = Catalog::load(&session).await?;
    for target in targets::parse(&catalog, &args.targets, "undelete")? {
        if target.names.is_empty() {
            return Err(Error::plain("resource(s) were provided, but no name was specified"));
        }
        get::not_ahead(&session, target.resource, &session.namespace, args.at).await?;
        for name in &target.names {
            let past = get::past(&session, target.resource, &session.namespace, name, args.at, JSON).await?;
            let path = target.resource.path(&session.namespace);
            session.send(Method::POST, &path, JSON, &renewed(past)).await?;
            output::print(&format!("{}/{name} undeleted\n", target.resource.label()))?;
        }
    }
    Ok(())
}

/// The object as a new one.
fn renewed(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !OWN.contains(&field.as_str()));
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_set_is_left_out() {
        let was = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}, "status": {},
            "metadata": {"name": "a", "labels": {"x": "y"}, "uid": "1", "resourceVersion": "7", "finalizers": ["f"]},
        });
        let new = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
            "metadata": {"name": "a", "labels": {"x": "y"}, "finalizers": ["f"]},
        });
        assert_eq!(renewed(was), new);
    }
}
