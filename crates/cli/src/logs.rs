//! `logs POD`, `logs TYPE/NAME`, `logs -l SELECTOR`

use futures::io::AsyncBufRead;
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use machinery::percent::encode;
use serde_json::Value;

use crate::connection::{Connection, JSON, Session, with_query};
use crate::discovery::Catalog;
use crate::{Error, Result, ages, output, targets};

const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Lines of each container when a selector chooses the pods.
const SELECTED_TAIL: i64 = 10;
/// How many logs may be followed at a time.
const FOLLOWED_MAX: usize = 5;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// POD or TYPE/NAME, and perhaps a container
    #[arg(value_name = "POD", num_args = 0..=2)]
    pub target: Vec<String>,
    /// The container [default: the pod's default or first]
    #[arg(short, long)]
    pub container: Option<String>,
    /// Go on while the container writes
    #[arg(short, long)]
    pub follow: bool,
    /// Of the run before the present one
    #[arg(short, long)]
    pub previous: bool,
    /// Only what is newer than, for example, 5s, 2m or 3h
    #[arg(long, conflicts_with = "since_time")]
    pub since: Option<String>,
    /// Only what is newer than this RFC 3339 time
    #[arg(long)]
    pub since_time: Option<String>,
    /// Only this many of the last lines; -1 for all
    #[arg(long, allow_negative_numbers = true)]
    pub tail: Option<i64>,
    /// Put the time before each line
    #[arg(long)]
    pub timestamps: bool,
    /// At most this many bytes
    #[arg(long)]
    pub limit_bytes: Option<u64>,
    /// All containers of the pod
    #[arg(long)]
    pub all_containers: bool,
    /// All pods with labels such as a=1,b!=2
    #[arg(short = 'l', long, conflicts_with = "target")]
    pub selector: Option<String>,
    /// Put the pod's and the container's name before each line
    #[arg(long)]
    pub prefix: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// One container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    pod: String,
    container: String,
}

pub async fn run(args: &Args) -> Result<()> {
    let session = Session::open(&args.connection).await?;
    let pods = pods(&session, args).await?;
    let mut sources = Vec::new();
    for pod in &pods {
        sources.extend(sources_of(pod, wanted(args), args.all_containers)?);
    }
    let query = query(args)?;
    if !args.follow || sources.len() == 1 {
        for source in &sources {
            copy(&session, args, source, &query).await?;
        }
        return Ok(());
    }
    if sources.len() > FOLLOWED_MAX {
        let count = sources.len();
        return Err(Error::plain(format!(
            "you are attempting to follow {count} log streams, but maximum allowed concurrency is {FOLLOWED_MAX}"
        )));
    }
    futures::future::try_join_all(sources.iter().map(|source| copy(&session, args, source, &query))).await?;
    Ok(())
}

/// The container that was asked for, by flag or as the second word.
fn wanted(args: &Args) -> Option<&str> {
    args.container.as_deref().or_else(|| args.target.get(1).map(String::as_str))
}

fn query(args: &Args) -> Result<Vec<(&'static str, String)>> {
    let flag = |name, on: bool| on.then(|| (name, "true".to_owned()));
    let since = args.since.as_deref().map(ages::parse).transpose()?.filter(|since| !since.is_zero());
    let since = since.map(|since| ("sinceSeconds", (since.as_secs_f64().ceil() as u64).to_string()));
    let tail = args.tail.or(args.selector.as_ref().map(|_| SELECTED_TAIL)).filter(|lines| *lines >= 0);
    let all = [
        flag("follow", args.follow),
        flag("previous", args.previous),
        flag("timestamps", args.timestamps),
        since,
        args.since_time.clone().map(|time| ("sinceTime", time)),
        tail.map(|lines| ("tailLines", lines.to_string())),
        args.limit_bytes.map(|bytes| ("limitBytes", bytes.to_string())),
    ];
    Ok(all.into_iter().flatten().collect())
}

async fn pods(session: &Session, args: &Args) -> Result<Vec<Value>> {
    let namespace = encode(&session.namespace);
    if let Some(selector) = &args.selector {
        let pods = select(session, selector).await?;
        return if pods.is_empty() { Err(no_pods(session)) } else { Ok(pods) };
    }
    let target = args.target.first().ok_or_else(|| {
        Error::plain(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument",
        )
    })?;
    if !target.contains('/') {
        return Ok(vec![session.get(&format!("/api/v1/namespaces/{namespace}/pods/{}", encode(target))).await?]);
    }
    let catalog = Catalog::load(session).await?;
    let (word, name) = targets::pair(target)?;
    let resource = catalog.find(word)?;
    let object = session.get(&resource.object_path(&session.namespace, name)).await?;
    if resource.kind == "Pod" && resource.group.is_empty() {
        return Ok(vec![object]);
    }
    let no_selector = || Error::plain(format!("cannot get the logs from {}", resource.qualified_name()));
    let mut pods = select(session, &selector(&object).ok_or_else(no_selector)?).await?;
    pods.sort_by_key(rank);
    if pods.len() > 1 {
        eprintln!("Found {} pods, using pod/{}", pods.len(), pods[0]["metadata"]["name"].as_str().unwrap_or_default());
    }
    pods.truncate(1);
    if pods.is_empty() { Err(no_pods(session)) } else { Ok(pods) }
}

fn no_pods(session: &Session) -> Error {
    Error::Unreachable(format!("No resources found in {} namespace.", session.namespace))
}

async fn select(session: &Session, selector: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/namespaces/{}/pods", encode(&session.namespace));
    let mut list = session.get_as(&with_query(&path, &[("labelSelector", selector)]), JSON).await?;
    Ok(serde_json::from_value(list["items"].take())?)
}

/// Pods with a node come first, then those that run, that are ready, that are older.
fn rank(pod: &Value) -> (bool, u8, bool, String) {
    let phase = match pod["status"]["phase"].as_str() {
        Some("Running") => 0,
        Some("Unknown") => 1,
        _ => 2,
    };
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let created = pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default();
    (pod["spec"]["nodeName"].is_null(), phase, !ready, created.to_owned())
}

/// The text form of an object's pod selector.
pub fn selector(object: &Value) -> Option<String> {
    let selector = &object["spec"]["selector"];
    let labels = if selector["matchLabels"].is_object() || selector["matchExpressions"].is_array() {
        &selector["matchLabels"]
    } else {
        selector
    };
    let pairs = labels.as_object().into_iter().flatten();
    let pairs = pairs.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten().filter_map(expression);
    let all: Vec<String> = pairs.chain(expressions).collect();
    (!all.is_empty()).then(|| all.join(","))
}

fn expression(expression: &Value) -> Option<String> {
    let key = expression["key"].as_str()?;
    let values: Vec<&str> = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let values = values.join(",");
    match expression["operator"].as_str()? {
        "In" => Some(format!("{key} in ({values})")),
        "NotIn" => Some(format!("{key} notin ({values})")),
        "Exists" => Some(key.to_owned()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

fn sources_of(pod: &Value, wanted: Option<&str>, all: bool) -> Result<Vec<Source>> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let names = |field: &str| -> Vec<String> {
        let containers = pod["spec"][field].as_array().into_iter().flatten();
        containers.filter_map(|container| Some(container["name"].as_str()?.to_owned())).collect()
    };
    let every: Vec<String> =
        ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(names).collect();
    let source = |container: String| Source { pod: name.clone(), container };
    if all {
        return Ok(every.into_iter().map(source).collect());
    }
    if let Some(wanted) = wanted {
        let known = every.iter().any(|container| container == wanted);
        let missing = || Error::plain(format!("container {wanted} is not valid for pod {name}"));
        return if known { Ok(vec![source(wanted.to_owned())]) } else { Err(missing()) };
    }
    let annotated = pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str();
    if let Some(annotated) = annotated.filter(|annotated| every.iter().any(|container| container == annotated)) {
        return Ok(vec![source(annotated.to_owned())]);
    }
    let first = names("containers").into_iter().next();
    let first = first.ok_or_else(|| Error::plain(format!("pod {name} has no containers")))?;
    if every.len() > 1 {
        eprintln!("Defaulted container {first:?} out of: {}", described(pod).join(", "));
    }
    Ok(vec![source(first)])
}

/// Container names, those that do not run all the time marked.
fn described(pod: &Value) -> Vec<String> {
    let kinds = [("containers", ""), ("ephemeralContainers", " (ephem)"), ("initContainers", " (init)")];
    let of = |(field, mark): (&str, &str)| -> Vec<String> {
        let containers = pod["spec"][field].as_array().into_iter().flatten();
        containers.map(|container| format!("{}{mark}", container["name"].as_str().unwrap_or_default())).collect()
    };
    kinds.into_iter().flat_map(of).collect()
}

/// Copies one log to the standard output, line by line.
async fn copy(session: &Session, args: &Args, source: &Source, query: &[(&str, String)]) -> Result<()> {
    let Source { pod, container } = source;
    let path = format!("/api/v1/namespaces/{}/pods/{}/log", encode(&session.namespace), encode(pod));
    let parameters: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let parameters: Vec<(&str, &str)> = [("container", container.as_str())].into_iter().chain(parameters).collect();
    let reader = session.stream(&with_query(&path, &parameters), "*/*").await?;
    let prefix = if args.prefix { format!("[pod/{pod}/{container}] ") } else { String::new() };
    print_lines(reader, &prefix).await
}

/// Logs need not be UTF-8, nor end with a line's end.
async fn print_lines(reader: impl AsyncBufRead, prefix: &str) -> Result<()> {
    let lines = futures::stream::try_unfold(Box::pin(reader), |mut reader| async move {
        let mut line = Vec::new();
        let read = reader.read_until(b'\n', &mut line).await?;
        Ok::<_, Error>((read > 0).then_some((line, reader)))
    });
    lines.map(|line| line.and_then(|line| output::write(&[prefix.as_bytes(), &line].concat()))).try_collect().await
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn asked(words: &str) -> String {
        let args = Program::try_parse_from(words.split_whitespace()).unwrap_or_else(|error| panic!("{error}")).args;
        let pairs = query(&args).unwrap().into_iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    }

    #[test]
    fn flags_become_the_query() {
        assert_eq!(asked("logs p"), "");
        assert_eq!(
            asked("logs p -f --since 1m30.2s --tail 5 --timestamps"),
            "follow=true&timestamps=true&sinceSeconds=91&tailLines=5"
        );
        assert_eq!(asked("logs p --previous --tail=-1 --limit-bytes 9"), "previous=true&limitBytes=9");
        assert_eq!(asked("logs -l a=b"), "tailLines=10");
    }

    #[test]
    fn a_container_is_chosen() {
        let pod = json!({"metadata": {"name": "p"}, "spec":
            {"initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]}});
        let chosen = |pod: &Value, wanted, all| -> Vec<String> {
            sources_of(pod, wanted, all).unwrap().into_iter().map(|source| source.container).collect()
        };
        assert_eq!(chosen(&pod, None, false), ["a"]);
        assert_eq!(chosen(&pod, Some("i"), false), ["i"]);
        assert_eq!(chosen(&pod, None, true), ["i", "a", "b"]);
        let mut annotated = pod.clone();
        annotated["metadata"]["annotations"] = json!({DEFAULT_CONTAINER: "b"});
        assert_eq!(chosen(&annotated, None, false), ["b"]);
        let missing = sources_of(&pod, Some("x"), false).unwrap_err().to_string();
        assert_eq!(missing, "error: container x is not valid for pod p");
        assert_eq!(described(&pod), ["a", "b", "i (init)"]);
    }

    #[test]
    fn selectors_are_written_as_text() {
        let of = |selector: Value| selector_text(&selector);
        assert_eq!(of(json!({"a": "1", "b": "2"})).as_deref(), Some("a=1,b=2"));
        let rich = json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "In", "values": ["1", "2"]},
            {"key": "c", "operator": "DoesNotExist"}]});
        assert_eq!(of(rich).as_deref(), Some("a=1,b in (1,2),!c"));
        assert_eq!(of(json!(null)), None);
    }

    fn selector_text(selector_value: &Value) -> Option<String> {
        selector(&json!({"spec": {"selector": selector_value}}))
    }

    #[test]
    fn pods_that_have_more_to_tell_come_first() {
        let pod = |node: Option<&str>, phase: &str, ready: &str, created: &str| {
            json!({"metadata": {"creationTimestamp": created}, "spec": {"nodeName": node},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}})
        };
        let mut pods = [
            pod(None, "Pending", "False", "1"),
            pod(Some("n"), "Pending", "False", "2"),
            pod(Some("n"), "Running", "False", "3"),
            pod(Some("n"), "Running", "True", "5"),
            pod(Some("n"), "Running", "True", "4"),
        ];
        pods.sort_by_key(rank);
        assert_eq!(pods.map(|pod| pod["metadata"]["creationTimestamp"].clone()), ["4", "5", "3", "2", "1"]);
    }
}
