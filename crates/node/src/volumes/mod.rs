//! Volumes of pods on this node: set up, kept fresh, resolved to mounts, taken down.
//!
//! What a volume is made of is decided by [`plan`]; [`set_up`] and [`tear_down`] do the I/O.

pub mod atomic;
pub mod host;
pub mod mounts;
pub mod payload;
pub mod token;

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use kube::{Api, Client};

use crate::container::Objects;
use crate::container::fields::Surroundings;
use crate::paths::Paths;
use crate::pod::spec;
use crate::resources::whole;
use payload::{Fault, Sources, Tokens};
use token::TokenStore;

const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";

/// Where each volume of a pod is on the host.
pub type Mounted = HashMap<String, PathBuf>;

/// Why volumes could not be set up: each volume's name and the text about it.
pub type Faults = Vec<(String, Fault)>;

/// What a volume is on this node.
#[derive(Debug, PartialEq)]
enum Plan {
    /// A directory of the pod's own; in memory and of at most this size where asked for.
    Empty { path: PathBuf, memory: Option<Option<u64>> },
    /// A path of the host that is there, or is made, as its type says.
    Host { path: PathBuf, type_: String },
    /// Files of the API, in memory.
    Files { path: PathBuf, files: Result<atomic::Payload, Fault> },
}

/// What set-up needs beside the pod.
pub struct SetUp<'a> {
    pub paths: &'a Paths,
    pub client: &'a Client,
    pub objects: &'a Objects,
    pub around: &'a Surroundings,
    pub tokens: &'a TokenStore,
}

/// Brings all volumes up, or brings those that are up to date. May be repeated at any time.
pub async fn set_up(cx: &SetUp<'_>, pod: &Pod) -> Result<Mounted, Faults> {
    let mut plans = Vec::new();
    let mut faults = Faults::new();
    for volume in spec::spec(pod).volumes.iter().flatten() {
        match plan(cx, pod, volume).await {
            Ok(plan) => plans.push((volume.name.clone(), plan)),
            Err(fault) => faults.push((volume.name.clone(), fault)),
        }
    }
    let group = fs_group(pod);
    let (mounted, failed) = clock::offload(move || carry_out(plans, group)).await;
    faults.extend(failed);
    if faults.is_empty() { Ok(mounted) } else { Err(faults) }
}

fn fs_group(pod: &Pod) -> Option<u32> {
    let group = spec::spec(pod).security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

async fn plan(cx: &SetUp<'_>, pod: &Pod, volume: &Volume) -> Result<Plan, Fault> {
    let uid = spec::uid(pod);
    let dir = |plugin: &str| cx.paths.volume(uid, plugin, &volume.name);
    if let Some(source) = &volume.empty_dir {
        return Ok(Plan::Empty { path: dir("kubernetes.io~empty-dir"), memory: memory_size(source) });
    }
    if let Some(source) = &volume.host_path {
        let type_ = source.type_.clone().unwrap_or_default();
        return Ok(Plan::Host { path: PathBuf::from(&source.path), type_ });
    }
    if let Some(source) = &volume.persistent_volume_claim {
        return claimed(cx.client, spec::namespace(pod), &source.claim_name).await;
    }
    if volume.ephemeral.is_some() {
        return claimed(cx.client, spec::namespace(pod), &format!("{}-{}", spec::name(pod), volume.name)).await;
    }
    files(cx, pod, volume, &dir).await
}

/// `Some(None)` is memory without a bound.
fn memory_size(source: &EmptyDirVolumeSource) -> Option<Option<u64>> {
    (source.medium.as_deref() == Some("Memory"))
        .then(|| source.size_limit.as_ref().map(whole).and_then(|size| u64::try_from(size).ok()))
}

async fn files(cx: &SetUp<'_>, pod: &Pod, volume: &Volume, dir: &impl Fn(&str) -> PathBuf) -> Result<Plan, Fault> {
    if let Some(source) = &volume.config_map {
        let optional = source.optional == Some(true);
        let files =
            payload::config_map(&source.name, source.items.as_deref(), source.default_mode, optional, cx.objects);
        return Ok(Plan::Files { path: dir("kubernetes.io~configmap"), files });
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let optional = source.optional == Some(true);
        let files = payload::secret(name, source.items.as_deref(), source.default_mode, optional, cx.objects);
        return Ok(Plan::Files { path: dir("kubernetes.io~secret"), files });
    }
    let mut tokens = Tokens::new();
    if let Some(source) = &volume.projected {
        for key in payload::tokens_of(source) {
            let token = cx.tokens.get(cx.client, pod, &key).await?;
            tokens.insert(key, token);
        }
    }
    let sources = Sources { pod, objects: cx.objects, around: cx.around, tokens: &tokens };
    if let Some(source) = &volume.projected {
        return Ok(Plan::Files { path: dir("kubernetes.io~projected"), files: payload::projected(source, &sources) });
    }
    if let Some(source) = &volume.downward_api {
        let items = source.items.as_deref().unwrap_or_default();
        let files = payload::downward(items, source.default_mode, &sources);
        return Ok(Plan::Files { path: dir("kubernetes.io~downward-api"), files });
    }
    Err("this type of volume is not supported on this node".to_string())
}

/// The host's path behind a claim that is bound to a local volume.
async fn claimed(client: &Client, namespace: &str, name: &str) -> Result<Plan, Fault> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = claims.get_opt(name).await.map_err(|error| error.to_string())?;
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim \"{name}\" not found"))?;
    let volume = volume_of(claim).map_err(|why| format!("PVC {namespace}/{name} {why}"))?;
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let found = volumes.get(&volume).await.map_err(|error| error.to_string())?;
    let spec = found.spec.unwrap_or_default();
    match (spec.host_path, spec.local) {
        (Some(source), _) => {
            let type_ = source.type_.filter(|type_| !type_.is_empty()).unwrap_or_else(|| "DirectoryOrCreate".into());
            Ok(Plan::Host { path: PathBuf::from(source.path), type_ })
        }
        (None, Some(source)) => Ok(Plan::Host { path: PathBuf::from(source.path), type_: "Directory".into() }),
        (None, None) => Err(format!("persistentvolume \"{volume}\" is of a type that is not supported on this node")),
    }
}

/// The name of the volume that a claim is bound to. One that goes still serves while something protects it: the pods that
/// use it, this one among them. (upstream: pkg/kubelet/volumemanager/populator)
fn volume_of(claim: PersistentVolumeClaim) -> Result<String, &'static str> {
    let is_protected = claim.metadata.finalizers.iter().flatten().any(|of| of == CLAIM_PROTECTION);
    if claim.metadata.deletion_timestamp.is_some() && !is_protected {
        return Err("is being deleted");
    }
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let volume = claim.spec.and_then(|spec| spec.volume_name).filter(|volume| bound && !volume.is_empty());
    volume.ok_or("is not bound")
}

fn carry_out(plans: Vec<(String, Plan)>, group: Option<u32>) -> (Mounted, Faults) {
    let (mut mounted, mut faults) = (Mounted::new(), Faults::new());
    for (name, plan) in plans {
        match make(plan, group) {
            Ok(path) => {
                mounted.insert(name, path);
            }
            Err(fault) => faults.push((name, fault)),
        }
    }
    (mounted, faults)
}

fn make(plan: Plan, group: Option<u32>) -> Result<PathBuf, Fault> {
    match plan {
        Plan::Host { path, type_ } => host::check(&path, &type_).map(|()| path),
        Plan::Empty { path, memory } => {
            make_empty(&path, memory, group).map_err(|error| at(&path, &error))?;
            Ok(path)
        }
        Plan::Files { path, files } => {
            let files = files?;
            let in_memory = make_empty(&path, Some(None), None);
            in_memory.and_then(|()| atomic::write(&path, &files, group)).map_err(|error| at(&path, &error))?;
            Ok(path)
        }
    }
}

fn at(path: &Path, error: &io::Error) -> Fault {
    format!("{}: {error}", path.display())
}

/// A directory that anyone may write to, of the pod's group where it has one. One that is there is the pod's to change.
fn make_empty(path: &Path, memory: Option<Option<u64>>, group: Option<u32>) -> io::Result<()> {
    let mode = if group.is_some() { 0o2777 } else { 0o777 };
    match memory {
        None if path.exists() => Ok(()),
        None => make_open(path, mode, group),
        Some(size) => {
            std::fs::create_dir_all(path)?;
            if is_mount(path)? { Ok(()) } else { mount_memory(path, size, mode, group) }
        }
    }
}

/// Makes the directory beside its place first: what is there is as it should be.
fn make_open(path: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    let beside = path.with_extension("new");
    std::fs::create_dir_all(&beside)?;
    std::os::unix::fs::chown(&beside, None, group)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(beside, path)
}

fn is_mount(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let parent = path.parent().unwrap_or(Path::new("/"));
    Ok(std::fs::metadata(path)?.dev() != std::fs::metadata(parent)?.dev())
}

fn mount_memory(path: &Path, size: Option<u64>, mode: u32, group: Option<u32>) -> io::Result<()> {
    let size = size.map(|size| format!(",size={size}")).unwrap_or_default();
    let options = format!("mode={mode:o},gid={}{size}", group.unwrap_or(0));
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options.as_str())).map_err(io::Error::from)
}

/// Takes a pod's volumes down and removes its directory. No error when there is nothing.
pub fn tear_down(pod_dir: &Path) -> io::Result<()> {
    unmount_all(pod_dir)?;
    match std::fs::remove_dir_all(pod_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Unmounts whatever is mounted below a directory, the innermost first.
pub fn unmount_all(dir: &Path) -> io::Result<()> {
    let mut mounts = mounts_below(dir)?;
    mounts.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    for mount in mounts {
        nix::mount::umount2(&mount, nix::mount::MntFlags::MNT_DETACH)?;
    }
    Ok(())
}

fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let process = procfs::process::Process::myself().map_err(io::Error::other)?;
    let mounts = process.mountinfo().map_err(io::Error::other)?;
    Ok(mounts.into_iter().map(|mount| mount.mount_point).filter(|path| path.starts_with(dir)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_in_memory_has_its_size_and_goes_without_trace() {
        let root = tempfile::tempdir().unwrap();
        let pod = root.path().join("pods/u");
        let path = pod.join("volumes/kubernetes.io~empty-dir/cache");
        let plan = || Plan::Empty { path: path.clone(), memory: Some(Some(1 << 20)) };
        make(plan(), Some(2000)).unwrap();
        make(plan(), Some(2000)).unwrap();
        assert!(is_mount(&path).unwrap());
        assert_eq!(crate::machine::filesystem(&path).unwrap().capacity, 1 << 20);
        assert_eq!(mounts_below(&pod).unwrap().len(), 1);
        tear_down(&pod).unwrap();
        assert!(!pod.exists());
        tear_down(&pod).unwrap();
    }

    /// Mode and group.
    fn owned(path: &Path) -> (u32, u32) {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).unwrap();
        (metadata.mode() & 0o7777, metadata.gid())
    }

    #[test]
    fn a_volume_that_an_agent_was_killed_at_is_open_to_its_pod() {
        let root = tempfile::tempdir().unwrap();
        for (group, expected) in [(Some(2000), (0o2777, 2000)), (None, (0o777, 0))] {
            // Begun beside its place, and a place where nothing is mounted any more.
            let (disk, memory) =
                (root.path().join(format!("disk{group:?}")), root.path().join(format!("memory{group:?}")));
            std::fs::create_dir(disk.with_extension("new")).unwrap();
            std::fs::create_dir(&memory).unwrap();
            make_empty(&disk, None, group).unwrap();
            make_empty(&memory, Some(None), group).unwrap();
            assert_eq!((owned(&disk), owned(&memory)), (expected, expected));
            std::fs::set_permissions(&disk, std::fs::Permissions::from_mode(0o700)).unwrap();
            make_empty(&disk, None, group).unwrap();
            assert_eq!(owned(&disk).0, 0o700, "the pod closed it");
        }
        unmount_all(root.path()).unwrap();
    }

    #[test]
    fn a_claim_that_goes_serves_while_it_is_protected() {
        let claim = |metadata: serde_json::Value, phase: &str| {
            let spec = serde_json::json!({"volumeName": "v"});
            let status = serde_json::json!({"phase": phase});
            let claim = serde_json::json!({"metadata": metadata, "spec": spec, "status": status});
            serde_json::from_value(claim).unwrap()
        };
        let going = "2026-01-01T00:00:00Z";
        for (metadata, phase, expected) in [
            (serde_json::json!({}), "Bound", Ok("v".to_owned())),
            (serde_json::json!({}), "Pending", Err("is not bound")),
            (serde_json::json!({"deletionTimestamp": going}), "Bound", Err("is being deleted")),
            (serde_json::json!({"deletionTimestamp": going, "finalizers": ["a"]}), "Bound", Err("is being deleted")),
            (
                serde_json::json!({"deletionTimestamp": going, "finalizers": [CLAIM_PROTECTION]}),
                "Bound",
                Ok("v".to_owned()),
            ),
        ] {
            assert_eq!(volume_of(claim(metadata.clone(), phase)), expected, "{metadata} {phase}");
        }
    }

    #[test]
    fn a_volume_without_its_files_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let plan = Plan::Files { path: root.path().join("v"), files: Err("configmap \"x\" not found".into()) };
        let (mounted, faults) = carry_out(vec![("v".into(), plan)], None);
        assert!(mounted.is_empty());
        assert_eq!(faults, [("v".to_string(), "configmap \"x\" not found".to_string())]);
    }
}
