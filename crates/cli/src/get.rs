//! `get TYPE[/NAME] [NAME...]`

use futures::StreamExt;
use serde_json::Value;

use crate::connection::{Connection, JSON, Session, with_query};
use crate::discovery::{Catalog, Resource};
use crate::output::{self, Format};
use crate::table::{self, Options, Printer};
use crate::targets::{self, Target};
use crate::{Error, Result, past, watch};

/// Objects asked for at a time.
const CHUNK: &str = "500";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// TYPE, TYPE NAME..., TYPE/NAME... or TYPE,TYPE
    #[arg(value_name = "TYPE")]
    pub targets: Vec<String>,
    /// Objects of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// In which form to print
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Only objects with labels such as a=1,b!=2
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    /// Only objects with fields such as metadata.name=web
    #[arg(long, default_value = "", hide_default_value = true)]
    pub field_selector: String,
    /// Go on and print what changes
    #[arg(short, long)]
    pub watch: bool,
    /// Add a column with all labels
    #[arg(long)]
    pub show_labels: bool,
    /// Add columns for these labels
    #[arg(short = 'L', long, value_delimiter = ',')]
    pub label_columns: Vec<String>,
    #[arg(long)]
    pub no_headers: bool,
    /// Show what was there at this resource version, time (as 2026-11-26T04:55:00Z) or how long ago (as 5m), as far
    /// back as the server remembers: some minutes
    #[arg(long, value_name = "REVISION|TIME")]
    pub at: Option<String>,
    /// Take what is not there for nothing
    #[arg(long)]
    pub ignore_not_found: bool,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(args: &Args) -> Result<()> {
    let session = Session::open(&args.connection).await?;
    let catalog = Catalog::load(&session).await?;
    let targets = targets::parse(&catalog, &args.targets, "get")?;
    let named = targets.iter().any(|target| !target.names.is_empty());
    check(args, &targets, named)?;
    let at = match (&args.at, targets.first()) {
        (Some(at), Some(target)) => Some(past::revision(&session, target.resource, at).await?),
        _ => None,
    };
    let get = Get { session, args, at, multiple: targets.len() > 1 };
    match args.output {
        _ if args.watch => get.watch(&targets[0]).await,
        None | Some(Format::Wide) => get.tables(&targets, named).await,
        Some(format) => get.objects(&targets, named, format).await,
    }
}

fn check(args: &Args, targets: &[Target], named: bool) -> Result<()> {
    let message = match () {
        () if named && args.all_namespaces => "a resource cannot be retrieved by name across all namespaces",
        () if named && !args.selector.is_empty() => "name cannot be provided when a selector is specified",
        () if args.watch && args.at.is_some() => "the past can not be watched: use either --watch or --at",
        () if args.watch && (targets.len() != 1 || targets[0].names.len() > 1) => {
            "you may only specify a single resource type"
        }
        () => return Ok(()),
    };
    Err(Error::plain(message))
}

struct Get<'a> {
    session: Session,
    args: &'a Args,
    /// The revision that is shown, if not the newest.
    at: Option<u64>,
    /// Whether objects of several types are shown.
    multiple: bool,
}

impl Get<'_> {
    /// Empty for all namespaces.
    fn namespace(&self) -> &str {
        if self.args.all_namespaces { "" } else { &self.session.namespace }
    }

    fn printer(&self, resource: &Resource) -> Printer {
        let name_prefix = if self.multiple { format!("{}/", resource.label()) } else { String::new() };
        Printer::new(Options {
            wide: self.args.output == Some(Format::Wide),
            namespace: self.args.all_namespaces && resource.namespaced,
            labels: self.args.show_labels,
            no_headers: self.args.no_headers,
            label_columns: self.args.label_columns.clone(),
            name_prefix,
        })
    }

    async fn tables(&self, targets: &[Target<'_>], named: bool) -> Result<()> {
        let mut errors = Vec::new();
        let mut shown = 0;
        for target in targets {
            let mut tables = Vec::new();
            for answer in self.answers(target, table::ACCEPT).await {
                match answer {
                    Ok(table) => tables.push(table),
                    Err(error) if self.args.ignore_not_found && error.is_not_found() => {}
                    Err(error) => errors.push(error),
                }
            }
            let Some(table) = joined(tables, "rows") else { continue };
            let text = self.printer(target.resource).print(&table);
            if text.is_empty() {
                continue;
            }
            let gap = if shown > 0 { "\n" } else { "" };
            output::print(&format!("{gap}{text}"))?;
            shown += 1;
        }
        if shown == 0 && errors.is_empty() && !named && !self.args.ignore_not_found {
            eprintln!("{}", self.nothing(targets));
        }
        Error::all(errors)
    }

    fn nothing(&self, targets: &[Target]) -> String {
        let in_namespace = !self.args.all_namespaces && targets.iter().all(|target| target.resource.namespaced);
        if in_namespace {
            format!("No resources found in {} namespace.", self.session.namespace)
        } else {
            "No resources found".to_owned()
        }
    }

    async fn objects(&self, targets: &[Target<'_>], named: bool, format: Format) -> Result<()> {
        let mut errors = Vec::new();
        let mut objects: Vec<(&Resource, Value)> = Vec::new();
        for target in targets {
            for answer in self.answers(target, JSON).await {
                match answer {
                    Ok(list) if !named => {
                        objects.extend(items(list, target.resource).map(|item| (target.resource, item)))
                    }
                    Ok(object) => objects.push((target.resource, output::without_managed_fields(object))),
                    Err(error) if self.args.ignore_not_found && error.is_not_found() => {}
                    Err(error) => errors.push(error),
                }
            }
        }
        output::print(&render(objects, named, format)?)?;
        Error::all(errors)
    }

    /// The named objects, or the pages of the list.
    async fn answers(&self, target: &Target<'_>, accept: &str) -> Vec<Result<Value>> {
        if target.names.is_empty() {
            return self.pages(target.resource, accept).await;
        }
        let mut answers = Vec::with_capacity(target.names.len());
        for name in &target.names {
            answers.push(match self.at {
                Some(at) => past::object(&self.session, target.resource, self.namespace(), name, at, accept).await,
                None => self.session.get_as(&target.resource.object_path(self.namespace(), name), accept).await,
            });
        }
        answers
    }

    async fn pages(&self, resource: &Resource, accept: &str) -> Vec<Result<Value>> {
        let mut pages: Vec<Result<Value>> = Vec::new();
        let mut next = String::new();
        let at = self.at.map(|at| at.to_string()).unwrap_or_default();
        loop {
            let mut query = self.query(&[("limit", CHUNK), ("continue", &next)]);
            // A page that continues another knows the revision by itself.
            if next.is_empty() {
                query.extend(past::exactly(&at));
            }
            let page = self.session.get_as(&with_query(&resource.path(self.namespace()), &query), accept).await;
            let token = page.as_ref().ok().and_then(|page| page["metadata"]["continue"].as_str());
            next = token.unwrap_or_default().to_owned();
            pages.push(page);
            if next.is_empty() {
                return pages;
            }
        }
    }

    fn query<'b>(&'b self, more: &[(&'b str, &'b str)]) -> Vec<(&'b str, &'b str)> {
        let selectors =
            [("labelSelector", self.args.selector.as_str()), ("fieldSelector", self.args.field_selector.as_str())];
        selectors.into_iter().chain(more.iter().copied()).collect()
    }

    /// Prints what is there, then every change, until the user has enough.
    async fn watch(&self, target: &Target<'_>) -> Result<()> {
        let resource = target.resource;
        let by_name = target.names.first().map(|name| format!("metadata.name={name}"));
        let fields = by_name.unwrap_or_else(|| self.args.field_selector.clone());
        let selectors = [("labelSelector", self.args.selector.as_str()), ("fieldSelector", fields.as_str())];
        let path = resource.path(self.namespace());
        let accept = if matches!(self.args.output, None | Some(Format::Wide)) { table::ACCEPT } else { JSON };
        let mut view = View { resource, printer: self.printer(resource), format: self.args.output };
        let list = self.session.get_as(&with_query(&path, &selectors), accept).await?;
        let mut version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        view.show_list(list)?;
        loop {
            let query = [("watch", "true"), ("resourceVersion", version.as_str())];
            let query: Vec<(&str, &str)> = selectors.into_iter().chain(query).collect();
            let mut events = Box::pin(watch::events(&self.session, &with_query(&path, &query), accept).await?);
            let mut newest = version.clone();
            while let Some(event) = events.next().await {
                let event = event?;
                newest = version_of(&event.object).unwrap_or(newest);
                if event.what != "BOOKMARK" {
                    view.show(event.object)?;
                }
            }
            version = newest;
        }
    }
}

/// How a watch prints.
struct View<'a> {
    resource: &'a Resource,
    printer: Printer,
    format: Option<Format>,
}

impl View<'_> {
    fn show_list(&mut self, list: Value) -> Result<()> {
        if list["kind"] == "Table" {
            return self.show(list);
        }
        items(list, self.resource).try_for_each(|item| self.show(item))
    }

    fn show(&mut self, object: Value) -> Result<()> {
        match self.format {
            None | Some(Format::Wide) => output::print(&self.printer.print(&object)),
            Some(format) => {
                let mark = if format == Format::Yaml { "---\n" } else { "" };
                let text = output::render(&output::without_managed_fields(object), self.resource, format)?;
                output::print(&format!("{mark}{text}"))
            }
        }
    }
}

/// A Table's is its row's.
pub fn version_of(object: &Value) -> Option<String> {
    let row = &object["rows"][0]["object"]["metadata"]["resourceVersion"];
    let own = &object["metadata"]["resourceVersion"];
    [row, own].into_iter().find_map(|version| version.as_str().filter(|version| !version.is_empty())).map(str::to_owned)
}

/// Puts the rows of all tables into the first.
fn joined(tables: Vec<Value>, field: &str) -> Option<Value> {
    tables.into_iter().reduce(|mut first, mut next| {
        let more = next[field].take();
        match (first[field].as_array_mut(), more) {
            (Some(rows), Value::Array(more)) => rows.extend(more),
            (None, more) => first[field] = more,
            (Some(_), _) => {}
        }
        first
    })
}

/// The items of a list, each with its type, which lists leave out.
pub fn items(mut list: Value, resource: &Resource) -> impl Iterator<Item = Value> {
    let items = match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let (api_version, kind) = (resource.api_version(), resource.kind.clone());
    items.into_iter().map(move |mut item| {
        item["apiVersion"] = api_version.clone().into();
        item["kind"] = kind.clone().into();
        output::without_managed_fields(item)
    })
}

fn render(mut objects: Vec<(&Resource, Value)>, named: bool, format: Format) -> Result<String> {
    if format == Format::Name {
        return objects.iter().map(|(resource, object)| output::render(object, resource, format)).collect();
    }
    let Some((resource, _)) = objects.first() else {
        return if named {
            Ok(String::new())
        } else {
            output::render(&output::list(Vec::new()), &Resource::default(), format)
        };
    };
    if named && objects.len() == 1 {
        return output::render(&objects[0].1, resource, format);
    }
    let resource = *resource;
    let all = objects.drain(..).map(|(_, object)| object).collect();
    output::render(&output::list(all), resource, format)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::discovery::tests::catalog;

    #[test]
    fn pages_are_joined() {
        let page = |rows: Value| json!({"columnDefinitions": [{"name": "Name"}], "rows": rows});
        let table = joined(vec![page(json!([1])), page(json!([2, 3]))], "rows").unwrap();
        assert_eq!(table["rows"], json!([1, 2, 3]));
        assert_eq!(joined(vec![page(json!(null)), page(json!([2]))], "rows").unwrap()["rows"], json!([2]));
        assert_eq!(joined(Vec::new(), "rows"), None);
    }

    #[test]
    fn items_get_their_type_and_several_become_a_list() {
        let catalog = catalog();
        let pods = catalog.find("po").unwrap();
        let list = json!({"items": [{"metadata": {"name": "a", "managedFields": []}}]});
        let objects: Vec<(&Resource, Value)> = items(list, pods).map(|item| (pods, item)).collect();
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        assert_eq!(objects[0].1, object);
        let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        assert_eq!(read(render(objects.clone(), true, Format::Json).unwrap()), object);
        assert_eq!(read(render(objects.clone(), false, Format::Json).unwrap())["items"], json!([object]));
        assert_eq!(render(objects, false, Format::Name).unwrap(), "pod/a\n");
        assert_eq!(read(render(Vec::new(), false, Format::Json).unwrap())["items"], json!([]));
        assert_eq!(render(Vec::new(), true, Format::Yaml).unwrap(), "");
    }

    #[test]
    fn a_watch_goes_on_from_the_newest_version() {
        assert_eq!(version_of(&json!({"metadata": {"resourceVersion": "5"}})).as_deref(), Some("5"));
        let table =
            json!({"metadata": {"resourceVersion": ""}, "rows": [{"object": {"metadata": {"resourceVersion": "7"}}}]});
        assert_eq!(version_of(&table).as_deref(), Some("7"));
        assert_eq!(version_of(&json!({"rows": []})), None);
    }
}
