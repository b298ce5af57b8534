//! `image import FILE...|list|rm REFERENCE...`: the images on a node, through the server.

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use kube::client::ConfigExt;
use machinery::percent::encode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::fs::File;
use tokio_util::io::ReaderStream;
use tower::{BoxError, Layer, ServiceExt};

use crate::align::align;
use crate::connection::{Connection, JSON, Session, with_query};
use crate::error::unreachable;
use crate::{Error, Result, output};

/// Bytes of an archive sent at a time.
const CHUNK: usize = 64 << 10;
/// The longest line that a node may answer with.
const LINE_MAX: usize = 1 << 20;
/// Hexadecimal digits of an id that are shown.
const SHORT_ID: usize = 12;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Bring the images of Docker or OCI archives to the node
    Import {
        /// Archives, as `docker save` and the like write them; - for the standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        on: On,
    },
    /// Show the node's images
    #[command(visible_alias = "ls")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        on: On,
    },
    /// Remove images from the node
    Rm {
        #[arg(required = true, value_name = "REFERENCE")]
        references: Vec<String>,
        #[command(flatten)]
        on: On,
    },
}

#[derive(Debug, clap::Args)]
pub struct On {
    /// The node [default: this machine, else the only one]
    #[arg(long)]
    pub node: Option<String>,
    #[command(flatten)]
    pub connection: Connection,
}

/// What the node says of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Image {
    id: String,
    tags: Vec<String>,
    digests: Vec<String>,
    size: u64,
}

impl Image {
    fn name(&self) -> &str {
        self.tags.first().or(self.digests.first()).unwrap_or(&self.id)
    }
}

/// One line of the answer to an import.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Report {
    /// Bytes read and bytes in all.
    Progress(u64, u64),
    Images(Vec<Image>),
    Error(String),
}

pub async fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Import { files, on } => {
            let (session, node) = open(on).await?;
            for file in files {
                import(&session, &node, file).await?;
            }
            Ok(())
        }
        Command::List { json, on } => {
            let (session, node) = open(on).await?;
            let images: Vec<Image> = serde_json::from_value(session.get(&path(&node)).await?)?;
            output::print(&if *json { output::json(&images)? } else { table(&images) })
        }
        Command::Rm { references, on } => {
            let (session, node) = open(on).await?;
            for reference in references {
                let path = with_query(&path(&node), &[("reference", reference)]);
                session.client.request_text(Request::delete(&path).body(Vec::new())?).await?;
                output::print(&format!("image {reference:?} removed\n"))?;
            }
            Ok(())
        }
    }
}

fn path(node: &str) -> String {
    format!("/api/v1/nodes/{}/proxy/images", encode(node))
}

async fn open(on: &On) -> Result<(Session, String)> {
    let session = Session::open(&on.connection).await?;
    if let Some(node) = &on.node {
        return Ok((session, node.clone()));
    }
    let nodes = session.get("/api/v1/nodes").await?;
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let node = choose(nodes["items"].as_array().map(Vec::as_slice).unwrap_or_default(), &host)?;
    Ok((session, node))
}

/// The node of this host, else the only one.
fn choose(nodes: &[Value], host: &str) -> Result<String> {
    let is_here = |node: &&Value| {
        let metadata = &node["metadata"];
        metadata["name"] == host || metadata["labels"]["kubernetes.io/hostname"] == host
    };
    let name = |node: &Value| node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    match (nodes.iter().find(is_here), nodes) {
        (Some(node), _) => Ok(name(node)),
        (None, [node]) => Ok(name(node)),
        (None, []) => Err(Error::plain("the cluster has no nodes")),
        (None, nodes) => {
            let names: Vec<String> = nodes.iter().map(name).collect();
            Err(Error::plain(format!("choose a node by --node; there are {}", names.join(", "))))
        }
    }
}

/// An archive to send, and its length when it is known.
struct Archive {
    name: String,
    file: File,
    length: Option<u64>,
}

impl Archive {
    async fn open(path: &Path) -> Result<Archive> {
        let path = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
        let name = path.display().to_string();
        let fault = |error: std::io::Error| Error::plain(format!("{name}: {error}"));
        let file = File::open(path).await.map_err(fault)?;
        let metadata = file.metadata().await.map_err(fault)?;
        Ok(Archive { file, length: metadata.is_file().then_some(metadata.len()), name })
    }
}

async fn import(session: &Session, node: &str, file: &Path) -> Result<()> {
    let archive = Archive::open(file).await?;
    let bar = progress(&archive, node);
    let response = upload(session, node, archive, bar.clone()).await?;
    let images = reports(response, &bar).await;
    bar.finish_and_clear();
    images?.iter().try_for_each(|image| output::print(&format!("{} imported\n", image.name())))
}

/// A moving line on a terminal, a plain one elsewhere.
fn progress(archive: &Archive, node: &str) -> ProgressBar {
    let bar = archive.length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    if bar.is_hidden() {
        let size = archive.length.map(|length| format!(" ({})", HumanBytes(length))).unwrap_or_default();
        eprintln!("importing {}{size} to {node}", archive.name);
    }
    let style = ProgressStyle::with_template("{prefix} {msg} {wide_bar} {bytes}/{total_bytes}");
    bar.set_style(style.expect("the template is well formed"));
    bar.set_prefix(archive.name.clone());
    bar.set_message("sending");
    bar
}

/// Sends the archive as it is read, never whole in memory, which `kube`'s own request bodies would be.
async fn upload(session: &Session, node: &str, archive: Archive, bar: ProgressBar) -> Result<Response<Incoming>> {
    let mut request = Request::builder().method(Method::POST).uri(path(node));
    request = request.header(header::CONTENT_TYPE, "application/x-tar").header(header::ACCEPT, JSON);
    if let Some(length) = archive.length {
        request = request.header(header::CONTENT_LENGTH, length);
    }
    let chunks = ReaderStream::with_capacity(archive.file, CHUNK);
    let chunks = chunks.inspect_ok(move |chunk: &Bytes| bar.inc(chunk.len() as u64)).map_ok(Frame::data);
    let request = request.body(BodyExt::boxed_unsync(StreamBody::new(chunks)))?;

    let connector = session.config.rustls_https_connector()?;
    let client = Client::builder(TokioExecutor::new()).build::<_, UnsyncBoxBody<Bytes, std::io::Error>>(connector);
    let client = client.map_err(BoxError::from);
    let client = tower::util::option_layer(session.config.auth_layer()?).layer(client);
    let response = session.config.base_uri_layer().layer(client).oneshot(request).await;
    response.map_err(|error| Error::Unreachable(unreachable(&*error)))
}

/// Follows the node's answer to its end.
async fn reports(response: Response<Incoming>, bar: &ProgressBar) -> Result<Vec<Image>> {
    let status = response.status();
    let mut body = response.into_body();
    let mut lines = Lines::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Unreachable(unreachable(&error)))?;
        let Ok(bytes) = frame.into_data() else { continue };
        lines.push(&bytes)?;
        while status.is_success()
            && let Some(line) = lines.next()
        {
            match serde_json::from_slice(&line)? {
                Report::Progress(read, total) => {
                    bar.set_message("importing");
                    bar.set_length(total);
                    bar.set_position(read);
                }
                Report::Images(images) => return Ok(images),
                Report::Error(message) => return Err(Error::plain(message)),
            }
        }
    }
    if status.is_success() {
        return Err(Error::plain("the node ended the import without an answer"));
    }
    Err(refused(&lines.rest(), status.as_u16()))
}

/// The server answers with a Status, the node with a text.
fn refused(body: &[u8], code: u16) -> Error {
    let text = || kube::core::Status::failure(String::from_utf8_lossy(body).trim(), "").with_code(code);
    let status = serde_json::from_slice(body).unwrap_or_else(|_| text());
    Error::Server(Box::new(status))
}

/// Splits what arrives into lines.
#[derive(Debug, Default)]
struct Lines(BytesMut);

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > LINE_MAX { Err(Error::plain("the node's answer is too long")) } else { Ok(()) }
    }

    fn next(&mut self) -> Option<Bytes> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        Some(self.0.split_to(end + 1).freeze())
    }

    fn rest(self) -> Bytes {
        self.0.freeze()
    }
}

fn table(images: &[Image]) -> String {
    let mut rows: Vec<String> = images.iter().flat_map(rows).collect();
    rows.sort();
    align(&format!("IMAGE\tIMAGE ID\tSIZE\n{}", rows.concat()), 6, 3)
}

/// A line for each of the image's names.
fn rows(image: &Image) -> Vec<String> {
    let id: String = image.id.trim_start_matches("sha256:").chars().take(SHORT_ID).collect();
    let row = |name: &str| format!("{name}\t{id}\t{}\n", HumanBytes(image.size));
    let names = if image.tags.is_empty() { &image.digests } else { &image.tags };
    if names.is_empty() { vec![row("<none>")] } else { names.iter().map(|name| row(name)).collect() }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn this_machine_is_the_default_node() {
        let node =
            |name: &str, host: &str| json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": host}}});
        let nodes = [node("a", "ha"), node("b", "hb")];
        let chosen = |nodes: &[Value], host| choose(nodes, host).map_err(|error| error.to_string());
        assert_eq!(chosen(&nodes, "b").as_deref(), Ok("b"));
        assert_eq!(chosen(&nodes, "ha").as_deref(), Ok("a"));
        assert_eq!(chosen(&nodes[..1], "elsewhere").as_deref(), Ok("a"));
        assert_eq!(chosen(&nodes, "elsewhere").unwrap_err(), "error: choose a node by --node; there are a, b");
        assert_eq!(chosen(&[], "x").unwrap_err(), "error: the cluster has no nodes");
    }

    #[test]
    fn reports_come_in_lines_of_any_cut() {
        let mut lines = Lines::default();
        lines.push(b"{\"progress\":[1,2]}\n{\"err").unwrap();
        let read = |line: Option<Bytes>| line.map(|line| serde_json::from_slice::<Report>(&line).unwrap());
        assert_eq!(read(lines.next()), Some(Report::Progress(1, 2)));
        assert_eq!(read(lines.next()), None);
        lines.push(b"or\":\"no\"}\n").unwrap();
        assert_eq!(read(lines.next()), Some(Report::Error("no".into())));
        assert!(lines.push(&vec![b'x'; LINE_MAX + 1]).is_err());
    }

    #[test]
    fn refusals_are_a_status_or_a_text() {
        assert_eq!(refused(b"no such path\n", 404).to_string(), "Error from server: no such path");
        let status = json!({"reason": "NotFound", "message": "nodes \"x\" not found"}).to_string();
        assert_eq!(refused(status.as_bytes(), 404).to_string(), "Error from server (NotFound): nodes \"x\" not found");
    }

    #[test]
    fn images_are_listed_by_name() {
        let image = |id: &str, tags: &[&str]| Image {
            id: format!("sha256:{}", id.repeat(64)),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            digests: Vec::new(),
            size: 1 << 20,
        };
        expect![[r"
            IMAGE                         IMAGE ID       SIZE
            <none>                        222222222222   1.00 MiB
            docker.io/library/busybox:1   111111111111   1.00 MiB
            docker.io/library/busybox:2   111111111111   1.00 MiB
        "]]
        .assert_eq(&table(&[
            image("1", &["docker.io/library/busybox:2", "docker.io/library/busybox:1"]),
            image("2", &[]),
        ]));
    }
}
