//! What the runtime says of a container, in terms of the pod's state machine.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use containers::{ContainerState, ContainerStatus, Image};
use k8s_openapi::api::core::v1::Pod;

use super::context::PodContext;
use super::spec;
use super::state::{Ended, Observation, Observed, Run};
use super::step::Event;
use crate::container::sandbox::CONTAINER_NAME_LABEL;
use crate::logs::parse::text_of;
use crate::paths::Paths;

/// Upstream's bounds of a termination message, from the file and from the log.
const MESSAGE_MAX: u64 = 4096;
const LOG_MESSAGE_MAX: usize = 2048;
const LOG_LINES_MAX: usize = 80;
/// How much of a log's end is looked at for its last lines.
const LOG_TAIL: u64 = 64 * 1024;

/// Looks at a container and tells the state machine. `start_error` is why it did not start.
pub async fn observe_id(cx: &PodContext, id: &str, start_error: Option<String>) {
    match cx.node.runtime.container_status(id).await {
        Ok(status) => {
            if let Some(observation) = observe(cx, &status, start_error).await {
                cx.tell(Event::Observed(observation));
            }
        }
        Err(error) => tracing::warn!(%error, id, "cannot read a container's status"),
    }
}

/// Nothing for a container that was created and neither started nor failed to.
pub async fn observe(cx: &PodContext, status: &ContainerStatus, start_error: Option<String>) -> Option<Observation> {
    let image = cx.node.runtime.image(&status.image).await.ok().flatten();
    let pod = cx.pod();
    let run = match (status.state, start_error) {
        (ContainerState::Running, None) => Observed::Running(running(status, image.as_ref())),
        (ContainerState::Created, None) => return None,
        (ContainerState::Exited, _) => Observed::Ended(ended(&pod, status, image.as_ref(), &cx.node.paths)),
        (_, Some(error)) => {
            let ended = ended(&pod, status, image.as_ref(), &cx.node.paths);
            let message = error;
            Observed::Ended(Ended {
                exit_code: 128,
                reason: "StartError".into(),
                message,
                finished_at: clock::now(),
                ..ended
            })
        }
    };
    Some(Observation { name: container_name(status).to_string(), attempt: status.attempt, run })
}

pub fn container_name(status: &ContainerStatus) -> &str {
    status.labels.get(CONTAINER_NAME_LABEL).unwrap_or(&status.name)
}

/// The image's name and id as the API shows them.
fn image_names(status: &ContainerStatus, image: Option<&Image>) -> (String, String) {
    let name = image.and_then(|image| image.tags.first()).unwrap_or(&status.image);
    let id = image.map(|image| image.digests.first().unwrap_or(&image.id)).unwrap_or(&status.image);
    (name.clone(), id.clone())
}

fn running(status: &ContainerStatus, image: Option<&Image>) -> Run {
    let (image, image_id) = image_names(status, image);
    Run { id: status.id.clone(), image, image_id, started_at: status.started_at.unwrap_or(status.created_at) }
}

fn ended(pod: &Pod, status: &ContainerStatus, image: Option<&Image>, paths: &Paths) -> Ended {
    let (image, image_id) = image_names(status, image);
    let fallback = if status.exit_code == 0 { "Completed" } else { "Error" };
    Ended {
        id: status.id.clone(),
        image,
        image_id,
        started_at: status.started_at,
        finished_at: status.finished_at.unwrap_or_else(clock::now),
        exit_code: status.exit_code,
        reason: if status.reason.is_empty() { fallback.to_string() } else { status.reason.clone() },
        message: message(pod, status, paths),
    }
}

/// What the container wrote about its end, else the end of its log where the pod asks for that.
fn message(pod: &Pod, status: &ContainerStatus, paths: &Paths) -> String {
    let name = container_name(status);
    let written = head(&paths.termination_log(spec::uid(pod), name, status.attempt)).unwrap_or_default();
    if !written.is_empty() || status.exit_code == 0 {
        return written;
    }
    let policy = spec::container(pod, name).and_then(|(_, container)| container.termination_message_policy);
    if policy.as_deref() == Some("FallbackToLogsOnError") {
        return log_tail(&status.log_path).unwrap_or_default();
    }
    status.message.clone()
}

fn head(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MESSAGE_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn log_tail(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let lines: Vec<String> = String::from_utf8_lossy(&bytes).lines().filter_map(text_of).collect();
    let text: String = lines[lines.len().saturating_sub(LOG_LINES_MAX)..].concat();
    let cut = text.len().saturating_sub(LOG_MESSAGE_MAX);
    let cut = (cut..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    Ok(text[cut..].to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_its_last_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = |i: usize| format!("2026-01-01T00:00:00.000000000Z stdout F line {i}\n");
        std::fs::write(file.path(), (0..100).map(line).collect::<String>()).unwrap();
        let text = log_tail(file.path()).unwrap();
        assert!(text.starts_with("line 20\n") && text.ends_with("line 99\n"), "{text}");
    }
}
