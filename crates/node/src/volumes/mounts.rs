//! Volume mounts of a container as host paths, with their sub-paths.

use std::path::{Component, Path, PathBuf};

use containers::Mount;
use k8s_openapi::api::core::v1::{Container, Pod, Volume, VolumeMount};

use super::Mounted;
use crate::container::config::propagation;
use crate::container::expand::expand;
use crate::pod::spec;

/// All mounts of a container. A sub-path that is not there is made as a directory.
pub fn mounts(
    pod: &Pod,
    container: &Container,
    mounted: &Mounted,
    env: &[(String, String)],
) -> Result<Vec<Mount>, String> {
    container.volume_mounts.iter().flatten().map(|mount| resolve(pod, mount, mounted, env)).collect()
}

fn resolve(pod: &Pod, mount: &VolumeMount, mounted: &Mounted, env: &[(String, String)]) -> Result<Mount, String> {
    let volume = mounted.get(&mount.name);
    let volume = volume.ok_or_else(|| format!("cannot find volume \"{}\" to mount into container", mount.name))?;
    let read_only = mount.read_only.unwrap_or(false) || volume_read_only(pod, &mount.name);
    let host_path = match sub_path(mount, env)? {
        Some(sub_path) => inside(volume, &sub_path)?,
        None => volume.clone(),
    };
    Ok(Mount { host_path, container_path: absolute(&mount.mount_path), read_only, propagation: propagation(mount) })
}

fn absolute(path: &str) -> PathBuf {
    Path::new("/").join(path)
}

/// Files of the API are never written by a container.
fn volume_read_only(pod: &Pod, name: &str) -> bool {
    let of_api = |volume: &Volume| {
        volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.downward_api.is_some()
    };
    let claim_read_only =
        |volume: &Volume| volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(true));
    let volume = spec::spec(pod).volumes.iter().flatten().find(|volume| volume.name == name);
    volume.is_some_and(|volume| of_api(volume) || claim_read_only(volume))
}

fn sub_path(mount: &VolumeMount, env: &[(String, String)]) -> Result<Option<String>, String> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(expression) = filled(&mount.sub_path_expr) {
        let lookup = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let expanded = expand(&expression, lookup);
        if expanded.contains("$(") {
            return Err(format!("missing value for \"{expression}\""));
        }
        return Ok(Some(expanded));
    }
    Ok(filled(&mount.sub_path))
}

/// The path in the volume, which links in it must not lead out of.
fn inside(volume: &Path, sub_path: &str) -> Result<PathBuf, String> {
    let relative = Path::new(sub_path);
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("subPath must be a relative path inside the volume: {sub_path}"));
    }
    let failed = |error: std::io::Error| format!("failed to prepare subPath \"{sub_path}\": {error}");
    let root = volume.canonicalize().map_err(failed)?;
    let path = root.join(relative);
    if !path.exists() {
        let parent = existing_parent(&path).canonicalize().map_err(failed)?;
        check_inside(&root, &parent, sub_path)?;
        std::fs::create_dir_all(&path).map_err(failed)?;
    }
    let real = path.canonicalize().map_err(failed)?;
    check_inside(&root, &real, sub_path)?;
    Ok(real)
}

fn existing_parent(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(path)
}

fn check_inside(root: &Path, path: &Path, sub_path: &str) -> Result<(), String> {
    if path.starts_with(root) {
        return Ok(());
    }
    Err(format!("subPath \"{sub_path}\" leads out of the volume"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn run(volume: &Path, mount: Value) -> Result<Mount, String> {
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "volumeMounts": [mount]}]}})).unwrap();
        let mounted = Mounted::from([("v".to_string(), volume.to_path_buf())]);
        let env = [("POD".to_string(), "web-0".to_string())];
        mounts(&pod, &pod.spec.as_ref().unwrap().containers[0], &mounted, &env).map(|mut mounts| mounts.remove(0))
    }

    #[test]
    fn sub_paths_are_made_expanded_and_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let path = |mount: Value| run(&root, mount).map(|mount| mount.host_path);
        assert_eq!(path(json!({"name": "v", "mountPath": "/m"})), Ok(root.clone()));
        assert_eq!(path(json!({"name": "v", "mountPath": "/m", "subPath": "a/b"})), Ok(root.join("a/b")));
        assert_eq!(path(json!({"name": "v", "mountPath": "/m", "subPathExpr": "x-$(POD)"})), Ok(root.join("x-web-0")));
        assert!(path(json!({"name": "v", "mountPath": "/m", "subPathExpr": "$(NONE)"})).is_err());
        assert!(path(json!({"name": "v", "mountPath": "/m", "subPath": "../x"})).is_err());
        assert!(path(json!({"name": "none", "mountPath": "/m"})).is_err());
        std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
        assert!(path(json!({"name": "v", "mountPath": "/m", "subPath": "out"})).is_err());
        assert!(path(json!({"name": "v", "mountPath": "/m", "subPath": "out/none"})).is_err());
    }
}
