//! `describe TYPE NAME`: an object in words, with the events about it.

mod containers;
mod data;
mod deployment;
mod events;
mod generic;
mod node;
mod pod;
mod service;
mod text;
mod volumes;

use serde_json::Value;

use crate::connection::{Connection, Session, with_query};
use crate::discovery::{Catalog, Resource};
use crate::{Error, Result, output, targets};

pub use containers::template;
use text::Text;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// TYPE, TYPE NAME... or TYPE/NAME...; a name may be the start of names
    #[arg(value_name = "TYPE")]
    pub targets: Vec<String>,
    /// Objects of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only objects with labels such as a=1,b!=2
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    /// Leave the events out
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set)]
    pub show_events: bool,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(args: &Args) -> Result<()> {
    let session = Session::open(&args.connection).await?;
    let catalog = Catalog::load(&session).await?;
    let targets = targets::parse(&catalog, &args.targets, "describe")?;
    let namespace = if args.all_namespaces { "" } else { session.namespace.as_str() };
    let mut errors = Vec::new();
    let mut shown = 0;
    for target in &targets {
        for found in objects(&session, target, namespace, &args.selector).await {
            match found {
                Ok(object) => {
                    let gap = if shown > 0 { "\n\n" } else { "" };
                    let text = describe(&session, target.resource, &object, args.show_events).await?;
                    output::print(&format!("{gap}{text}"))?;
                    shown += 1;
                }
                Err(error) => errors.push(error),
            }
        }
    }
    if shown == 0 && errors.is_empty() {
        eprintln!("No resources found in {} namespace.", session.namespace);
    }
    Error::all(errors)
}

async fn objects(session: &Session, target: &targets::Target<'_>, namespace: &str, labels: &str) -> Vec<Result<Value>> {
    let resource = target.resource;
    if target.names.is_empty() {
        return match list(session, resource, namespace, &[("labelSelector", labels)]).await {
            Ok(items) => items.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
    }
    let mut found = Vec::new();
    for name in &target.names {
        match session.get(&resource.object_path(namespace, name)).await {
            Err(missing) if missing.is_not_found() => {
                let starting = starting_with(session, resource, namespace, name).await;
                let starting = starting.unwrap_or_else(|error| vec![Err(error)]);
                if starting.is_empty() { found.push(Err(missing)) } else { found.extend(starting) }
            }
            answer => found.push(answer),
        }
    }
    found
}

async fn starting_with(
    session: &Session,
    resource: &Resource,
    namespace: &str,
    start: &str,
) -> Result<Vec<Result<Value>>> {
    let mut items = list(session, resource, namespace, &[]).await?;
    items.retain(|item| item["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(start)));
    Ok(items.into_iter().map(Ok).collect())
}

async fn list(session: &Session, resource: &Resource, namespace: &str, query: &[(&str, &str)]) -> Result<Vec<Value>> {
    let mut list = session.get(&with_query(&resource.path(namespace), query)).await?;
    let mut items: Vec<Value> = serde_json::from_value(list["items"].take())?;
    for item in &mut items {
        item["apiVersion"] = resource.api_version().into();
        item["kind"] = resource.kind.clone().into();
    }
    Ok(items)
}

async fn describe(session: &Session, resource: &Resource, object: &Value, show_events: bool) -> Result<String> {
    let mut text = Text::default();
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pod::describe(&mut text, object),
        // Secrets have no events worth showing, and their values are no one's business.
        ("", "Secret") => {
            data::describe_secret(&mut text, object);
            return Ok(text.aligned());
        }
        ("", "ConfigMap") => data::describe_config_map(&mut text, object),
        ("", "Node") => {
            let pods = node::pods(session, object).await?;
            let lease = node::lease(session, object).await?;
            node::describe(&mut text, object, &pods, lease.as_ref(), clock::now());
        }
        ("", "Service") => service::describe(&mut text, object, &service::slices(session, object).await?),
        ("apps", "Deployment") => {
            deployment::describe(&mut text, object, &deployment::replica_sets(session, object).await?);
        }
        _ => generic::describe(&mut text, object),
    }
    if show_events {
        events::describe(&mut text, &events::of(session, object).await?, clock::now());
    }
    Ok(text.aligned())
}
