//! `/images`: the runtime's images, for those who bring them by hand.
//!
//! GET lists them, POST takes in a Docker or OCI archive, DELETE removes `?reference=`. The answer to POST is JSON in
//! lines: `{"progress":[read,total]}` as it goes, then `{"images":[...]}` or `{"error":"..."}`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use containers::Runtime;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::query::Query;
use super::{Answer, Refusal, response, streamed};

/// Lines that wait for a slow reader.
const BACKLOG: usize = 4;
/// Where archives lie while they are taken in, below the agent's root.
const SPOOL: &str = "imports";

pub async fn answer<B>(runtime: Arc<dyn Runtime>, root: &Path, request: Request<B>, query: &Query) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    match *request.method() {
        Method::GET => Ok(json_answer(&json!(runtime.list_images().await?))),
        Method::POST => {
            let spooled = spool(root, request.into_body()).await;
            let spooled = spooled.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
            let (lines, receiver) = mpsc::channel(BACKLOG);
            tokio::spawn(import(runtime, spooled, lines));
            let mut response = streamed(receiver);
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
            Ok(response)
        }
        Method::DELETE => {
            let reference = query.get("reference").filter(|reference| !reference.is_empty());
            let reference =
                reference.ok_or_else(|| Refusal::bad_request("query parameter \"reference\" is required"))?;
            remove(&*runtime, reference).await
        }
        _ => Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".into())),
    }
}

fn json_answer(value: &Value) -> http::Response<super::Body> {
    response(StatusCode::OK, "application/json", value.to_string())
}

async fn remove(runtime: &dyn Runtime, reference: &str) -> Answer {
    if runtime.image(reference).await?.is_none() {
        return Err(Refusal::not_found(format!("image {reference:?} not found")));
    }
    runtime.remove_image(reference).await?;
    Ok(json_answer(&json!({})))
}

/// A file that goes when this goes.
struct Spooled(PathBuf);

impl Drop for Spooled {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            warn!(%error, path = %self.0.display(), "cannot remove a spooled archive");
        }
    }
}

/// Writes the body to a file of its own.
async fn spool<B>(root: &Path, mut body: B) -> io::Result<Spooled>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let directory = root.join(SPOOL);
    tokio::fs::create_dir_all(&directory).await?;
    let path = directory.join(format!("{}.tar", clock::uuid()));
    let mut file = tokio::fs::OpenOptions::new().create_new(true).write(true).open(&path).await?;
    let spooled = Spooled(path);
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.map_err(io::Error::other)?.into_data() {
            file.write_all(&bytes).await?;
        }
    }
    file.flush().await?;
    Ok(spooled)
}

/// Removes what a killed agent left behind.
pub fn clear_spool(root: &Path) {
    match std::fs::remove_dir_all(root.join(SPOOL)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => warn!(%error, "cannot clear the spooled archives"),
        _ => {}
    }
}

/// Takes in the archive; a caller who leaves does not stop it.
async fn import(runtime: Arc<dyn Runtime>, spooled: Spooled, lines: mpsc::Sender<Bytes>) {
    let (progress, mut read) = mpsc::channel(BACKLOG);
    let reporting = async {
        while let Some((read, total)) = read.recv().await {
            send(&lines, &json!({"progress": [read, total]})).await;
        }
    };
    let (imported, ()) = tokio::join!(runtime.import_images(&spooled.0, progress), reporting);
    let last = match imported {
        Ok(images) => json!({"images": images}),
        Err(error) => json!({"error": error.to_string()}),
    };
    send(&lines, &last).await;
}

async fn send(lines: &mpsc::Sender<Bytes>, line: &Value) {
    if lines.send(format!("{line}\n").into()).await.is_err() {
        debug!("nobody reads the report of an import");
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;
    use crate::simulated::Containers;

    async fn ask(root: &Path, method: Method, query: &str, body: &'static [u8]) -> (StatusCode, String) {
        let request = Request::builder().method(method).body(Full::new(Bytes::from_static(body))).unwrap();
        match answer(Arc::new(Containers::default()), root, request, &Query::parse(query)).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                (parts.status, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
            }
            Err(Refusal(status, text)) => (status, text),
        }
    }

    #[tokio::test]
    async fn an_archive_is_spooled_and_its_file_removed() {
        let root = tempfile::tempdir().unwrap();
        let (status, text) = ask(root.path(), Method::POST, "", b"not an archive").await;
        assert_eq!(status, StatusCode::OK);
        let line: Value = serde_json::from_str(text.trim_end()).unwrap();
        let error = line["error"].as_str().unwrap();
        assert!(error.ends_with("a simulated node takes no archives"), "{error}");
        assert_eq!(std::fs::read_dir(root.path().join(SPOOL)).unwrap().count(), 0);
        std::fs::write(root.path().join(SPOOL).join("left.tar"), "").unwrap();
        clear_spool(root.path());
        assert!(!root.path().join(SPOOL).exists());
    }

    #[tokio::test]
    async fn images_are_listed_and_removed_by_name() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(ask(root.path(), Method::GET, "", b"").await, (StatusCode::OK, "[]".into()));
        let missing = ask(root.path(), Method::DELETE, "reference=a%3A1", b"").await;
        assert_eq!(missing, (StatusCode::NOT_FOUND, "image \"a:1\" not found".into()));
        assert_eq!(ask(root.path(), Method::DELETE, "", b"").await.0, StatusCode::BAD_REQUEST);
        assert_eq!(ask(root.path(), Method::PUT, "", b"").await.0, StatusCode::METHOD_NOT_ALLOWED);
    }
}
