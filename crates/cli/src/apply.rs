//! `apply -f FILE`: makes objects what files say, and leaves what others have set.

use std::path::PathBuf;

use http::Method;
use machinery::GroupVersionKind;
use schema::Message;
use serde_json::{Value, json};

use crate::connection::{Connection, JSON, MERGE_PATCH, STRATEGIC_PATCH, Session, with_query};
use crate::discovery::{Catalog, Resource};
use crate::manifest::{self, Document};
use crate::output::{self, Format};
use crate::{Error, Result, patch};

pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The owner of the fields, the same as kubectl's, so that both can be used in turn.
const MANAGER: &str = "kubectl-client-side-apply";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files or directories with manifests; - for the standard input
    #[arg(short, long, required = true, value_delimiter = ',', value_name = "FILE")]
    pub filename: Vec<PathBuf>,
    /// Directories within directories too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Only say what would be done
    #[arg(long, value_enum, default_value_t = DryRun::None, num_args = 0..=1, default_missing_value = "client",
        require_equals = true)]
    pub dry_run: DryRun,
    /// In which form to print the objects
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DryRun {
    None,
    Client,
    Server,
}

impl DryRun {
    pub fn suffix(self) -> &'static str {
        match self {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        }
    }
}

pub async fn run(args: &Args) -> Result<()> {
    let documents = manifest::read(&args.filename, args.recursive)?;
    let session = Session::open(&args.connection).await?;
    let mut apply = Apply { catalog: Catalog::load(&session).await?, session, dry_run: args.dry_run };
    let mut errors = Vec::new();
    for document in documents {
        match apply.document(&document).await {
            Ok(applied) => applied.show(args)?,
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)
}

struct Apply {
    session: Session,
    catalog: Catalog,
    dry_run: DryRun,
}

struct Applied {
    resource: Resource,
    name: String,
    done: &'static str,
    object: Value,
}

impl Applied {
    fn show(self, args: &Args) -> Result<()> {
        match args.output {
            None | Some(Format::Wide) => {
                let (label, suffix) = (self.resource.label(), args.dry_run.suffix());
                output::print(&format!("{label}/{} {}{suffix}\n", self.name, self.done))
            }
            Some(format) => {
                let text = output::render(&output::without_managed_fields(self.object), &self.resource, format)?;
                let mark = if format == Format::Yaml { "---\n" } else { "" };
                output::print(&format!("{mark}{text}"))
            }
        }
    }
}

impl Apply {
    async fn document(&mut self, document: &Document) -> Result<Applied> {
        let resource = find(&self.session, &mut self.catalog, document).await?;
        let namespace = namespace(&self.session, &resource, document)?;
        let modified = annotated(&document.object, &resource, &namespace)?;
        let name = document.name().to_owned();
        if name.is_empty() {
            return Err(Error::plain(format!("error from {:?}: resource name may not be empty", document.source)));
        }
        let path = resource.object_path(&namespace, &name);
        let (done, object) = match self.session.get(&path).await {
            Ok(current) => self.change(&resource, &path, document, &modified, current).await?,
            Err(error) if error.is_not_found() => {
                ("created", self.create(&resource, &namespace, document, modified).await?)
            }
            Err(error) => return Err(error.while_doing("retrieving current configuration of", &document.source)),
        };
        Ok(Applied { resource, name, done, object })
    }

    async fn create(&self, resource: &Resource, namespace: &str, document: &Document, object: Value) -> Result<Value> {
        if self.dry_run == DryRun::Client {
            return Ok(object);
        }
        let path = with_query(&resource.path(namespace), &self.options());
        let created = self.session.send(Method::POST, &path, JSON, &object).await;
        created.map_err(|error| error.while_doing("creating", &document.source))
    }

    /// `configured` or `unchanged`, and what the object is then.
    async fn change(
        &self,
        resource: &Resource,
        path: &str,
        document: &Document,
        modified: &Value,
        current: Value,
    ) -> Result<(&'static str, Value)> {
        let (original, message) = (last_applied(&current), message(resource));
        if original.is_none() {
            warn(resource, document.name());
        }
        let original = original.unwrap_or_else(|| json!({}));
        let (content_type, patch) = match message {
            Some(message) => (STRATEGIC_PATCH, patch::strategic(&original, modified, &current, message)),
            None => (MERGE_PATCH, patch::merge(&original, modified, &current)),
        };
        if patch == json!({}) {
            return Ok(("unchanged", current));
        }
        if self.dry_run == DryRun::Client {
            return Ok(("configured", current));
        }
        let patched = self.session.patch(&with_query(path, &self.options()), content_type, &patch).await;
        Ok(("configured", patched.map_err(|error| error.while_doing("applying patch to", &document.source))?))
    }

    fn options(&self) -> [(&'static str, &'static str); 3] {
        let dry_run = if self.dry_run == DryRun::Server { "All" } else { "" };
        [("fieldManager", MANAGER), ("fieldValidation", "Strict"), ("dryRun", dry_run)]
    }
}

/// The document's resource; kinds may have been defined by the documents before it.
pub async fn find(session: &Session, catalog: &mut Catalog, document: &Document) -> Result<Resource> {
    let (api_version, kind) = (document.api_version(), document.kind());
    if catalog.by_kind(api_version, kind).is_none() {
        *catalog = Catalog::load(session).await?;
    }
    let found = catalog.by_kind(api_version, kind).cloned();
    found.ok_or_else(|| {
        let (name, namespace, source) = (document.name(), document.namespace(), &document.source);
        Error::plain(format!(
            "resource mapping not found for name: {name:?} namespace: {namespace:?} from {source:?}: \
             no matches for kind {kind:?} in version {api_version:?}\nensure CRDs are installed first"
        ))
    })
}

/// The namespace that the document's object is in; empty where it is in none.
pub fn namespace(session: &Session, resource: &Resource, document: &Document) -> Result<String> {
    match document.namespace() {
        _ if !resource.namespaced => Ok(String::new()),
        "" => Ok(session.namespace.clone()),
        own if session.namespace_given && own != session.namespace => Err(Error::plain(format!(
            "the namespace from the provided object {own:?} does not match the namespace {:?}. You must pass \
             '--namespace={own}' to perform this operation.",
            session.namespace
        ))),
        own => Ok(own.to_owned()),
    }
}

/// The object with its own configuration in an annotation.
fn annotated(object: &Value, resource: &Resource, namespace: &str) -> Result<Value> {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut();
    let metadata = metadata.ok_or_else(|| Error::plain("metadata is not an object"))?;
    if resource.namespaced {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    if !metadata.get("annotations").is_some_and(Value::is_object) {
        metadata.insert("annotations".to_owned(), json!({}));
    }
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    let configuration = serde_json::to_string(&object)? + "\n";
    object["metadata"]["annotations"][LAST_APPLIED] = configuration.into();
    Ok(object)
}

fn last_applied(current: &Value) -> Option<Value> {
    let text = current["metadata"]["annotations"][LAST_APPLIED].as_str()?;
    serde_json::from_str(text).ok()
}

/// The schema of a built-in kind: custom resources have no strategic merge patch.
fn message(resource: &Resource) -> Option<&'static Message> {
    let kind = GroupVersionKind::new(&resource.group, &resource.version, &resource.kind);
    kinds::by_gvk(&kind).and_then(|kind| schema::message(kind.schema))
}

fn warn(resource: &Resource, name: &str) {
    eprintln!(
        "Warning: resource {}/{name} is missing the {LAST_APPLIED} annotation which is required by keelson apply. \
         keelson apply should only be used on resources created declaratively by keelson apply. The missing \
         annotation will be patched automatically.",
        resource.name
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::tests::catalog;

    #[test]
    fn an_object_carries_its_own_configuration() {
        let catalog = catalog();
        let pods = catalog.find("po").unwrap();
        let object = json!({"kind": "Pod", "metadata": {"name": "a", "annotations": {LAST_APPLIED: "old", "x": "y"}}});
        let found = annotated(&object, pods, "ns").unwrap();
        let configuration =
            json!({"kind": "Pod", "metadata": {"name": "a", "namespace": "ns", "annotations": {"x": "y"}}});
        assert_eq!(last_applied(&found), Some(configuration.clone()));
        assert_eq!(found["metadata"]["namespace"], "ns");
        let again = annotated(&found, pods, "ns").unwrap();
        assert_eq!(patch::merge(&configuration, &again, &found), json!({}));
        assert!(annotated(&json!({"kind": "Pod"}), pods, "ns").is_err());
    }

    #[test]
    fn built_in_kinds_have_a_schema() {
        let catalog = catalog();
        assert_eq!(message(catalog.find("deploy").unwrap()).unwrap().name, "io.k8s.api.apps.v1.Deployment");
        let custom = Resource { group: "apps.example.com".into(), ..catalog.find("deploy").unwrap().clone() };
        assert!(message(&custom).is_none());
    }
}
