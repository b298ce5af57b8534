//! Starting a container: image, configuration, creation, start, post-start hook, in this order.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use containers::{ContainerConfig, Image};
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use super::context::PodContext;
use super::observe::observe_id;
use super::spec;
use super::step::{Event, StartError};
use crate::container::config::{Inputs, container_config};
use crate::container::env::environment;
use crate::container::{Objects, dns, hosts};
use crate::handlers::Target;
use crate::volumes::mounts::mounts;

/// A hook's HTTP or TCP call may take as long as upstream's client waits.
const HOOK_TIMEOUT: Duration = Duration::from_secs(3600);
const SERVICES_MESSAGE: &str = "services have not yet been read at least once, cannot construct envs";
const SERVICES_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs all steps; the container's own states go to the state machine as they are seen.
///
/// Dropping the future leaves at most a created container, which goes with its sandbox.
pub async fn launch(cx: &PodContext, name: &str, attempt: u32) -> Result<(), StartError> {
    let pod = cx.pod();
    let (_, container) = spec::container(&pod, name).ok_or_else(|| config_error("the container is gone".into()))?;
    let objects = cx.references().objects().await;
    let image = ensure_image(cx, &pod, &container, &objects).await?;
    let config = configure(cx, &pod, &container, &objects, &image, attempt).await?;
    let id = create(cx, name, &config).await?;
    start(cx, name, &id).await?;
    post_start(cx, &container, &id).await
}

fn config_error(message: String) -> StartError {
    StartError { reason: "CreateContainerConfigError", message }
}

async fn ensure_image(
    cx: &PodContext,
    pod: &Pod,
    container: &Container,
    objects: &Objects,
) -> Result<Image, StartError> {
    let name = &container.name;
    let image = container.image.as_deref().unwrap_or_default();
    let pulling = || cx.record(Some(name), false, "Pulling", format!("Pulling image \"{image}\""));
    match cx.node.images.ensure(pod, container, objects, pulling).await {
        Ok(ensured) => {
            cx.record(Some(name), false, "Pulled", ensured.message(image));
            Ok(ensured.image().clone())
        }
        Err(error) => {
            let (reason, message) = match error.reason {
                "ErrImagePull" => ("Failed", format!("Failed to pull image \"{image}\": {}", error.message)),
                "InvalidImageName" => ("InspectFailed", error.message.clone()),
                "ErrImageNeverPull" => ("ErrImageNeverPull", error.message.clone()),
                _ => ("InspectFailed", error.message.clone()),
            };
            cx.record(Some(name), true, reason, message);
            Err(error)
        }
    }
}

async fn configure(
    cx: &PodContext,
    pod: &Pod,
    container: &Container,
    objects: &Objects,
    image: &Image,
    attempt: u32,
) -> Result<ContainerConfig, StartError> {
    let node = &cx.node;
    tokio::time::timeout(SERVICES_TIMEOUT, node.services.synced())
        .await
        .map_err(|_| config_error(SERVICES_MESSAGE.into()))?;
    let around = node.surroundings(cx.ips());
    let env = environment(pod, container, objects, &node.services.list(), &around);
    let env = env.map_err(|error| config_error(error.0))?;
    let mounts = mounts(pod, container, &cx.mounted(), &env).map_err(config_error)?;
    let inputs = Inputs { attempt, image, env, mounts, node_memory: node.machine.memory };
    let config = container_config(pod, container, inputs, &node.paths).map_err(|error| config_error(error.0))?;
    write_files(cx, pod, container, attempt).map_err(|error| config_error(error.to_string()))?;
    Ok(config)
}

/// `/etc/hosts`, the file for the termination message, and the directory of the logs.
fn write_files(cx: &PodContext, pod: &Pod, container: &Container, attempt: u32) -> io::Result<()> {
    let paths = &cx.node.paths;
    let uid = spec::uid(pod);
    let log = paths.termination_log(uid, &container.name, attempt);
    fs::create_dir_all(log.parent().unwrap_or(Path::new("/")))?;
    fs::write(&log, "")?;
    fs::set_permissions(&log, fs::Permissions::from_mode(0o666))?;
    fs::create_dir_all(paths.pod_logs(pod).join(&container.name))?;
    let (hostname, domain) = dns::hostname(pod, &cx.node.cluster_dns.domain);
    let host_text = match spec::host_network(pod) {
        true => fs::read_to_string("/etc/hosts").unwrap_or_default(),
        false => String::new(),
    };
    fs::write(paths.hosts_file(uid), hosts::hosts_file(pod, &cx.ips(), &hostname, &domain, &host_text))
}

async fn create(cx: &PodContext, name: &str, config: &ContainerConfig) -> Result<String, StartError> {
    let failed = |message: String| StartError { reason: "CreateContainerError", message };
    let (sandbox, _) = cx.sandbox().ok_or_else(|| failed("the pod's sandbox is gone".into()))?;
    let created = cx.node.runtime.create_container(&sandbox, config).await;
    let id = created.map_err(|error| failed(error.to_string()))?;
    cx.record(Some(name), false, "Created", format!("Created container: {name}"));
    Ok(id)
}

async fn start(cx: &PodContext, name: &str, id: &str) -> Result<(), StartError> {
    let started = cx.node.runtime.start_container(id).await;
    observe_id(cx, id, started.as_ref().err().map(ToString::to_string)).await;
    started.map_err(|error| StartError { reason: "RunContainerError", message: error.to_string() })?;
    cx.record(Some(name), false, "Started", format!("Started container {name}"));
    Ok(())
}

async fn post_start(cx: &PodContext, container: &Container, id: &str) -> Result<(), StartError> {
    let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
    let (Some(hook), Some(target)) = (hook, cx.target(&container.name, id)) else { return Ok(()) };
    let Err(text) = run_hook(&target, hook).await else { return Ok(()) };
    let name = &container.name;
    cx.record(Some(name), true, "FailedPostStartHook", "PostStartHook failed".to_string());
    let killing = "FailedPostStartHook".to_string();
    cx.record(Some(name), false, "Killing", killing);
    let grace = spec::grace(&cx.pod());
    if let Err(error) = cx.node.runtime.stop_container(id, grace).await {
        tracing::warn!(%error, id, "cannot stop a container whose hook failed");
    }
    observe_id(cx, id, None).await;
    Err(StartError { reason: "PostStartHookError", message: text })
}

/// One lifecycle hook, to its end.
pub async fn run_hook(target: &Target, hook: &LifecycleHandler) -> Result<String, String> {
    if let Some(exec) = &hook.exec {
        return target.exec(exec.command.as_deref().unwrap_or_default(), HOOK_TIMEOUT).await;
    }
    if let Some(action) = &hook.http_get {
        return target.http_get(action, "kube-lifecycle/1.35", HOOK_TIMEOUT).await;
    }
    if let Some(action) = &hook.tcp_socket {
        return target.connect(action.host.as_deref(), &action.port, HOOK_TIMEOUT).await;
    }
    if let Some(action) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(action.seconds.max(0) as u64)).await;
    }
    Ok(String::new())
}

/// Tells the state machine that a start is through.
pub fn done(cx: &PodContext, name: &str, result: Result<(), StartError>) {
    cx.tell(Event::StartDone { name: name.to_string(), result });
}
