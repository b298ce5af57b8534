//! `delete TYPE NAME`, `delete -f FILE`, `delete TYPE -l SELECTOR|--all`

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::connection::{Connection, JSON, Session, with_query};
use crate::discovery::{Catalog, Resource};
use crate::{Error, Result, ages, apply, manifest, output, targets, watch};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// TYPE NAME..., TYPE/NAME..., or TYPE with -l or --all
    #[arg(value_name = "TYPE")]
    pub targets: Vec<String>,
    /// The objects that these files name
    #[arg(short, long, value_delimiter = ',', value_name = "FILE", conflicts_with_all = ["targets", "selector", "all"])]
    pub filename: Vec<PathBuf>,
    /// Directories within directories too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Objects with labels such as a=1,b!=2
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// All objects of the type
    #[arg(long)]
    pub all: bool,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Seconds to end in; -1 for the object's own
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    pub grace_period: i64,
    /// Do not wait for the node to confirm; needs no grace period
    #[arg(long)]
    pub force: bool,
    /// The same as --grace-period=1
    #[arg(long)]
    pub now: bool,
    /// Wait until the objects are gone
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set)]
    pub wait: bool,
    /// How long to wait, such as 30s; 0 for as long as it takes
    #[arg(long, default_value = "0s")]
    pub timeout: String,
    /// What to do with the objects that belong to it
    #[arg(long, value_enum, default_value_t = Cascade::Background)]
    pub cascade: Cascade,
    /// Take what is not there for deleted
    #[arg(long)]
    pub ignore_not_found: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Cascade {
    Background,
    Foreground,
    Orphan,
}

/// One object to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Victim {
    resource: Resource,
    namespace: String,
    name: String,
}

pub async fn run(args: &Args) -> Result<()> {
    let timeout = ages::parse(&args.timeout)?;
    let session = Session::open(&args.connection).await?;
    let victims = victims(&session, args).await?;
    if victims.is_empty() {
        return output::print("No resources found\n");
    }
    let mut errors = Vec::new();
    let mut deleted = Vec::new();
    for victim in victims {
        match delete(&session, args, &victim).await {
            Ok(uid) => deleted.push((victim, uid)),
            Err(error) if error.is_not_found() && args.ignore_not_found => {}
            Err(error) => errors.push(error),
        }
    }
    if args.wait {
        await_all(&session, &deleted, timeout).await?;
    }
    Error::all(errors)
}

async fn victims(session: &Session, args: &Args) -> Result<Vec<Victim>> {
    let mut catalog = Catalog::load(session).await?;
    let mut victims = Vec::new();
    if !args.filename.is_empty() {
        for document in manifest::read(&args.filename, args.recursive)? {
            let resource = apply::find(session, &mut catalog, &document).await?;
            let namespace = apply::namespace(session, &resource, &document)?;
            victims.push(Victim { namespace, name: document.name().to_owned(), resource });
        }
        return Ok(victims);
    }
    let bulk = args.all || args.selector.is_some();
    for target in targets::parse(&catalog, &args.targets, "delete")? {
        match (target.names.is_empty(), bulk) {
            (true, false) => return Err(Error::plain("resource(s) were provided, but no name was specified")),
            (false, true) => return Err(Error::plain("name cannot be provided when a selector is specified")),
            (true, true) => victims.extend(matching(session, args, target.resource).await?),
            (false, false) => victims.extend(target.names.into_iter().map(|name| Victim {
                resource: target.resource.clone(),
                namespace: session.namespace.clone(),
                name,
            })),
        }
    }
    Ok(victims)
}

async fn matching(session: &Session, args: &Args, resource: &Resource) -> Result<Vec<Victim>> {
    let namespace = if args.all_namespaces { "" } else { &session.namespace };
    let query = [("labelSelector", args.selector.as_deref().unwrap_or_default())];
    let list = session.get(&with_query(&resource.path(namespace), &query)).await?;
    let text = |item: &Value, field: &str| item["metadata"][field].as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().into_iter().flatten();
    let victim =
        |item| Victim { resource: resource.clone(), namespace: text(item, "namespace"), name: text(item, "name") };
    Ok(items.map(victim).collect())
}

/// Answers the uid of what was deleted.
async fn delete(session: &Session, args: &Args, victim: &Victim) -> Result<String> {
    let path = victim.resource.object_path(&victim.namespace, &victim.name);
    let answer = session.send(Method::DELETE, &path, JSON, &options(args)).await?;
    let how = if args.force && grace(args) == Some(0) { "force deleted" } else { "deleted" };
    let kind = victim.resource.label();
    output::print(&format!("{kind} {:?} {how}\n", victim.name))?;
    let uid = answer["metadata"]["uid"].as_str().or_else(|| answer["details"]["uid"].as_str());
    Ok(uid.unwrap_or_default().to_owned())
}

/// Zero without force is cut short of nothing: the node must still confirm.
fn grace(args: &Args) -> Option<i64> {
    match args.grace_period {
        _ if args.now => Some(1),
        given if given < 0 => args.force.then_some(0),
        0 if !args.force => Some(1),
        given => Some(given),
    }
}

fn options(args: &Args) -> Value {
    let policy = match args.cascade {
        Cascade::Background => "Background",
        Cascade::Foreground => "Foreground",
        Cascade::Orphan => "Orphan",
    };
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    if let Some(seconds) = grace(args) {
        options["gracePeriodSeconds"] = seconds.into();
    }
    options
}

async fn await_all(session: &Session, deleted: &[(Victim, String)], timeout: Duration) -> Result<()> {
    let waiting = async {
        for (victim, uid) in deleted {
            let Victim { resource, namespace, name } = victim;
            let gone = |object: Option<&Value>| Ok(is_gone(object, uid).then_some(()));
            watch::until(session, resource, namespace, name, gone).await?;
        }
        Ok(())
    };
    if timeout.is_zero() {
        return waiting.await;
    }
    let late = |_| Error::plain("timed out waiting for the condition");
    tokio::time::timeout(timeout, waiting).await.map_err(late)?
}

/// Another object may have the name by now.
fn is_gone(object: Option<&Value>, uid: &str) -> bool {
    object.is_none_or(|object| !uid.is_empty() && object["metadata"]["uid"] != uid)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &str) -> Args {
        Program::try_parse_from(words.split_whitespace()).unwrap_or_else(|error| panic!("{error}")).args
    }

    #[test]
    fn flags_become_delete_options() {
        let grace = |words| options(&args(words))["gracePeriodSeconds"].as_i64();
        assert_eq!(grace("delete po a"), None);
        assert_eq!(grace("delete po a --grace-period=5"), Some(5));
        assert_eq!(grace("delete po a --grace-period=0"), Some(1));
        assert_eq!(grace("delete po a --grace-period=0 --force"), Some(0));
        assert_eq!(grace("delete po a --force"), Some(0));
        assert_eq!(grace("delete po a --now"), Some(1));
        assert_eq!(options(&args("delete po a --cascade=orphan"))["propagationPolicy"], "Orphan");
        assert!(args("delete po a").wait && !args("delete po a --wait=false").wait);
    }

    #[test]
    fn another_object_of_the_name_does_not_keep_us_waiting() {
        let object = json!({"metadata": {"uid": "new"}});
        assert!(is_gone(None, "old") && is_gone(Some(&object), "old"));
        assert!(!is_gone(Some(&object), "new") && !is_gone(Some(&object), ""));
    }
}
