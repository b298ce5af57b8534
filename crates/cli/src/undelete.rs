//! `undelete TYPE/NAME --at REVISION|TIME`

use http::Method;
use serde_json::Value;

use crate::connection::{Connection, JSON, Session, with_query};
use crate::discovery::{Catalog, Resource};
use crate::{Error, Result, get, output, past, targets};

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
    /// TYPE/NAME or TYPE NAME...; a namespace comes back with what was in it
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub targets: Vec<String>,
    /// A resource version, a time (as 2026-11-26T04:55:00Z) or how long ago (as 5m) the objects were there, as far back
    /// as the server remembers: some minutes
    #[arg(long, value_name = "REVISION|TIME")]
    pub at: String,
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
        let at = past::revision(&session, target.resource, &args.at).await?;
        let undelete = Undelete { session: &session, at };
        for name in &target.names {
            let was = past::object(&session, target.resource, &session.namespace, name, at, JSON).await?;
            if target.resource.name == "namespaces" && target.resource.group.is_empty() {
                undelete.namespace(&catalog, target.resource, name, was).await?;
            } else {
                undelete.create(target.resource, &session.namespace, name, was).await?;
            }
        }
    }
    Ok(())
}

struct Undelete<'a> {
    session: &'a Session,
    at: u64,
}

impl Undelete<'_> {
    async fn create(&self, resource: &Resource, namespace: &str, name: &str, was: Value) -> Result<()> {
        self.session.send(Method::POST, &resource.path(namespace), JSON, &renewed(was)).await?;
        output::print(&format!("{}/{name} undeleted\n", resource.label()))
    }

    /// A namespace with what was in it. What is there stays as it is, so that what was cut off can be begun again.
    async fn namespace(&self, catalog: &Catalog, resource: &Resource, name: &str, was: Value) -> Result<()> {
        or_there(self.create(resource, "", name, was).await)?;
        let kept = |resource: &&Resource| {
            resource.namespaced && ["list", "create"].iter().all(|verb| resource.allows(verb)) && !is_derived(resource)
        };
        let (mut errors, revision) = (Vec::new(), self.at.to_string());
        for resource in catalog.0.iter().filter(kept) {
            let path = with_query(&resource.path(name), &past::exactly(&revision));
            let list = self.session.get(&path).await?;
            for object in get::items(list, resource).filter(|object| !has_controller(object)) {
                let own = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                errors.extend(or_there(self.create(resource, name, &own, object).await).err());
            }
        }
        Error::all(errors)
    }
}

fn or_there(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.is_already_exists() => Ok(()),
        done => done,
    }
}

/// What tells of other objects, and is made from them again.
fn is_derived(resource: &Resource) -> bool {
    ["events", "endpoints", "endpointslices", "leases"].contains(&resource.name.as_str())
}

/// Whether a controller makes it again.
fn has_controller(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true))
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
