//! `rollout status|history|undo|restart|pause|resume TYPE/NAME`

mod revisions;
mod status;

use serde_json::{Value, json};

use crate::connection::{Connection, JSON_PATCH, STRATEGIC_PATCH, Session};
use crate::discovery::{Catalog, Resource};
use crate::{Error, Result, ages, describe, output, targets, watch};

use revisions::Revision;
use status::Progress;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show how far a roll-out is, until it is done
    Status(StatusArgs),
    /// Show earlier revisions
    History(RevisionArgs),
    /// Go back to an earlier revision
    Undo(RevisionArgs),
    /// Replace all pods
    Restart(ChangeArgs),
    /// Roll out no changes for now
    Pause(ChangeArgs),
    /// Roll out changes again
    Resume(ChangeArgs),
}

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub target: Vec<String>,
    /// Wait until it is done
    #[arg(short, long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set)]
    pub watch: bool,
    /// How long to wait, such as 30s; 0 for as long as it takes
    #[arg(long, default_value = "0s")]
    pub timeout: String,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, clap::Args)]
pub struct RevisionArgs {
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub target: Vec<String>,
    /// The revision to show or to go back to; 0 for all or the last
    #[arg(long, visible_alias = "revision", default_value_t = 0)]
    pub to_revision: i64,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, clap::Args)]
pub struct ChangeArgs {
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub target: Vec<String>,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Status(args) => show_status(args).await,
        Command::History(args) => Workload::open(&args.connection, &args.target).await?.history(args.to_revision).await,
        Command::Undo(args) => Workload::open(&args.connection, &args.target).await?.undo(args.to_revision).await,
        Command::Restart(args) => change(args, Change::Restart).await,
        Command::Pause(args) => change(args, Change::Pause).await,
        Command::Resume(args) => change(args, Change::Resume).await,
    }
}

async fn show_status(args: &StatusArgs) -> Result<()> {
    let timeout = ages::parse(&args.timeout)?;
    let Workload { session, resource, name, object } = Workload::open(&args.connection, &args.target).await?;
    if !args.watch {
        return output::print(status::of(&object)?.text());
    }
    let mut shown = String::new();
    let following = watch::until(&session, &resource, &session.namespace, &name, |object| {
        let object = object.ok_or_else(|| Error::plain("object has been deleted"))?;
        let progress = status::of(object)?;
        if progress.text() != shown {
            output::print(progress.text())?;
            progress.text().clone_into(&mut shown);
        }
        Ok(matches!(progress, Progress::Done(_)).then_some(()))
    });
    if timeout.is_zero() {
        return following.await;
    }
    let late = |_| Error::plain("timed out waiting for the condition");
    tokio::time::timeout(timeout, following).await.map_err(late)?
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Restart,
    Pause,
    Resume,
}

async fn change(args: &ChangeArgs, change: Change) -> Result<()> {
    let workload = Workload::open(&args.connection, &args.target).await?;
    let now = clock::format_time(clock::now_seconds());
    let (patch, done) = patch(&workload.object, change, &now)
        .map_err(|why| Error::plain(format!("{} {:?} {why}", workload.resource.qualified_name(), workload.name)))?;
    workload.session.patch(&workload.path(), STRATEGIC_PATCH, &patch).await?;
    output::print(&format!("{} {done}\n", workload.title()))
}

/// What to send, and the word for it when it is done.
fn patch(object: &Value, change: Change, now: &str) -> std::result::Result<(Value, &'static str), &'static str> {
    let paused = object["spec"]["paused"] == true;
    let is_deployment = object["kind"] == "Deployment";
    match change {
        Change::Restart if paused => Err("can't restart paused deployment (run rollout resume first)"),
        Change::Restart => {
            let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
            Ok((json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}), "restarted"))
        }
        Change::Pause if !is_deployment => Err("pausing is not supported"),
        Change::Pause if paused => Err("is already paused"),
        Change::Pause => Ok((json!({"spec": {"paused": true}}), "paused")),
        Change::Resume if !is_deployment => Err("resuming is not supported"),
        Change::Resume if !paused => Err("is not paused"),
        Change::Resume => Ok((json!({"spec": {"paused": null}}), "resumed")),
    }
}

/// A deployment, stateful set or daemon set.
struct Workload {
    session: Session,
    resource: Resource,
    name: String,
    object: Value,
}

impl Workload {
    async fn open(connection: &Connection, words: &[String]) -> Result<Workload> {
        let session = Session::open(connection).await?;
        let catalog = Catalog::load(&session).await?;
        let (resource, name) = targets::single(&catalog, words, "roll out")?;
        let resource = resource.clone();
        if resource.group != "apps" || !["Deployment", "StatefulSet", "DaemonSet"].contains(&resource.kind.as_str()) {
            return Err(Error::plain(format!("no rollout of {:?} has been implemented", resource.qualified_name())));
        }
        let object = session.get(&resource.object_path(&session.namespace, &name)).await?;
        Ok(Workload { session, resource, name, object })
    }

    fn path(&self) -> String {
        self.resource.object_path(&self.session.namespace, &self.name)
    }

    fn title(&self) -> String {
        format!("{}/{}", self.resource.label(), self.name)
    }

    async fn revisions(&self) -> Result<Vec<Revision>> {
        let deployment = self.resource.kind == "Deployment";
        let resource = if deployment { "replicasets" } else { "controllerrevisions" };
        let path = format!("/apis/apps/v1/namespaces/{}/{resource}", self.session.namespace);
        let list = self.session.get(&path).await?;
        Ok(revisions::of(&self.object, list["items"].as_array().map(Vec::as_slice).unwrap_or_default()))
    }

    async fn history(&self, revision: i64) -> Result<()> {
        let revisions = self.revisions().await?;
        if revision == 0 {
            return output::print(&format!("{} \n{}\n", self.title(), revisions::table(&revisions)));
        }
        let found = revisions.iter().find(|one| one.number == revision);
        let found = found.ok_or_else(|| Error::plain("unable to find the specified revision"))?;
        let template = describe::template(&found.template);
        output::print(&format!("{} with revision #{revision}\n{template}\n", self.title()))
    }

    async fn undo(&self, revision: i64) -> Result<()> {
        if self.object["spec"]["paused"] == true {
            let message =
                "you cannot rollback a paused deployment; resume it first with 'rollout resume' and try again";
            return Err(Error::plain(message));
        }
        let revisions = self.revisions().await?;
        let target = revisions::choose(&revisions, revision, &self.name)?;
        if target.is_current(&self.object) {
            let number = target.number;
            let done = format!("skipped rollback (current template already matches revision {number})");
            return output::print(&format!("{} {done}\n", self.title()));
        }
        let (content_type, patch) = match &target.patch {
            Some(patch) => (STRATEGIC_PATCH, patch.clone()),
            None => (JSON_PATCH, revisions::deployment_patch(&self.object, target)),
        };
        self.session.patch(&self.path(), content_type, &patch).await?;
        output::print(&format!("{} rolled back\n", self.title()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_where_they_make_sense() {
        let deployment = |paused: bool| json!({"kind": "Deployment", "spec": {"paused": paused}});
        let of = |object: &Value, change| patch(object, change, "T");
        assert_eq!(of(&deployment(false), Change::Pause), Ok((json!({"spec": {"paused": true}}), "paused")));
        assert_eq!(of(&deployment(true), Change::Pause), Err("is already paused"));
        assert_eq!(of(&deployment(true), Change::Resume).unwrap().1, "resumed");
        assert_eq!(of(&deployment(false), Change::Resume), Err("is not paused"));
        assert!(of(&deployment(true), Change::Restart).is_err());
        let (patch, done) = of(&json!({"kind": "DaemonSet"}), Change::Restart).unwrap();
        assert_eq!(done, "restarted");
        let annotations = &patch["spec"]["template"]["metadata"]["annotations"];
        assert_eq!(annotations["kubectl.kubernetes.io/restartedAt"], "T");
        assert_eq!(of(&json!({"kind": "DaemonSet"}), Change::Pause), Err("pausing is not supported"));
    }
}
