//! Images for containers: names, pull policies, credentials, and pulls that several containers share.
//!
//! upstream: pkg/kubelet/images, pkg/credentialprovider

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use containers::{Image, RegistryAuth, Runtime};
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use parking_lot::Mutex;
use serde_json::Value;

use crate::container::Objects;
use crate::pod::StartError;
use crate::pod::spec;

/// Brings images to the node, each at most once at a time.
pub struct Images {
    runtime: Arc<dyn Runtime>,
    pulling: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// An image that is here, and how it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    Present(Image),
    Pulled { image: Image, pull: Duration, waited: Duration },
}

impl Ensured {
    pub fn image(&self) -> &Image {
        match self {
            Ensured::Present(image) | Ensured::Pulled { image, .. } => image,
        }
    }

    /// The message of the `Pulled` event.
    pub fn message(&self, name: &str) -> String {
        match self {
            Ensured::Present(_) => format!("Container image \"{name}\" already present on machine"),
            Ensured::Pulled { image, pull, waited } => format!(
                "Successfully pulled image \"{name}\" in {} ({} including waiting). Image size: {} bytes.",
                go_millis(*pull),
                go_millis(*waited),
                image.size
            ),
        }
    }
}

impl Images {
    pub fn new(runtime: Arc<dyn Runtime>) -> Images {
        Images { runtime, pulling: Mutex::default() }
    }

    /// Makes a container's image be here, as its pull policy says. `pulling` is called before a pull.
    pub async fn ensure(
        &self,
        pod: &Pod,
        container: &Container,
        objects: &Objects,
        pulling: impl FnOnce(),
    ) -> Result<Ensured, StartError> {
        let name = container.image.as_deref().unwrap_or_default();
        let reference = normalize(name).map_err(|fault| StartError {
            reason: "InvalidImageName",
            message: format!("Failed to apply default image tag \"{name}\": {fault}"),
        })?;
        let policy = container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        if policy != "Always"
            && let Some(image) = self.present(&reference).await?
        {
            return Ok(Ensured::Present(image));
        }
        if policy == "Never" {
            let message = format!("Container image \"{name}\" is not present with pull policy of Never");
            return Err(StartError { reason: "ErrImageNeverPull", message });
        }
        let started = clock::monotonic();
        let lock = self.pulling.lock().entry(reference.clone()).or_default().clone();
        let _pulling = lock.lock().await;
        if policy != "Always"
            && let Some(image) = self.present(&reference).await?
        {
            return Ok(Ensured::Present(image));
        }
        pulling();
        let begun = clock::monotonic();
        let result = self.pull(&reference, &credentials(pod, objects, &reference)).await;
        self.pulling.lock().retain(|_, lock| Arc::strong_count(lock) > 2);
        let image = result?;
        Ok(Ensured::Pulled { image, pull: begun.elapsed(), waited: started.elapsed() })
    }

    async fn present(&self, reference: &str) -> Result<Option<Image>, StartError> {
        let failed = |error: containers::Error| StartError {
            reason: "ImageInspectError",
            message: format!("Failed to inspect image \"{reference}\": {error}"),
        };
        self.runtime.image(reference).await.map_err(failed)
    }

    /// Tries each of the credentials that fit, then none.
    async fn pull(&self, reference: &str, credentials: &[RegistryAuth]) -> Result<Image, StartError> {
        let mut last = None;
        for auth in credentials.iter().map(Some).chain([None]) {
            match self.runtime.pull_image(reference, auth).await {
                Ok(image) => return Ok(image),
                Err(error) => last.get_or_insert(error),
            };
        }
        let message = last.map(|error| error.to_string()).unwrap_or_default();
        Err(StartError { reason: "ErrImagePull", message })
    }
}

/// A name with its tag: `latest` where it has neither tag nor digest.
pub fn normalize(name: &str) -> Result<String, String> {
    let fault = |text: &str| format!("couldn't parse image name \"{name}\": {text}");
    let (path, digest) = name.split_once('@').map_or((name, None), |(path, digest)| (path, Some(digest)));
    let slash = path.rfind('/').map_or(0, |at| at + 1);
    let (repository, tag) = match path[slash..].find(':') {
        Some(at) => (&path[..slash + at], Some(&path[slash + at + 1..])),
        None => (path, None),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    let well_formed = !repository.is_empty()
        && repository.chars().all(allowed)
        && repository.split('/').all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()))
        && tag.is_none_or(|tag| !tag.is_empty() && tag.chars().all(|c| allowed(c) && c != '/' && c != ':'))
        && digest.is_none_or(|digest| digest.split_once(':').is_some_and(|(_, hex)| hex.len() >= 32));
    if !well_formed {
        return Err(fault("invalid reference format"));
    }
    if without_registry(repository).chars().any(|c| c.is_ascii_uppercase()) {
        let text = format!("invalid reference format: repository name ({repository}) must be lowercase");
        return Err(fault(&text));
    }
    Ok(if tag.is_none() && digest.is_none() { format!("{name}:latest") } else { name.to_string() })
}

/// The part before the first slash names a registry only if it looks like a host.
fn split_registry(repository: &str) -> (&str, &str) {
    match repository.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", repository),
    }
}

fn without_registry(repository: &str) -> &str {
    split_registry(repository).1
}

/// The credentials of the pod's pull secrets that are for the image's registry, longest match first.
fn credentials(pod: &Pod, objects: &Objects, reference: &str) -> Vec<RegistryAuth> {
    let secrets = spec::spec(pod).image_pull_secrets.iter().flatten();
    let secrets = secrets.filter_map(|reference| objects.secrets.get(&reference.name));
    let mut fitting: Vec<(usize, RegistryAuth)> = secrets
        .flat_map(|secret| entries(secret))
        .filter_map(|(key, auth)| Some((fit(&key, reference)?, auth)))
        .collect();
    fitting.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    fitting.into_iter().map(|(_, auth)| auth).collect()
}

/// Registry and credentials of each entry of a `.dockerconfigjson` or `.dockercfg`.
fn entries(secret: &Secret) -> Vec<(String, RegistryAuth)> {
    let data = secret.data.as_ref();
    let parsed = |key: &str| -> Option<Value> { serde_json::from_slice(&data?.get(key)?.0).ok() };
    let auths = parsed(".dockerconfigjson").and_then(|mut config| Some(config.get_mut("auths")?.take()));
    let Some(Value::Object(auths)) = auths.or_else(|| parsed(".dockercfg")) else { return Vec::new() };
    auths.into_iter().filter_map(|(registry, entry)| Some((registry, auth(&entry)?))).collect()
}

fn auth(entry: &Value) -> Option<RegistryAuth> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_string);
    if let (Some(username), Some(password)) = (text("username"), text("password")) {
        return Some(RegistryAuth { username, password });
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(text("auth")?.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some(RegistryAuth { username: username.into(), password: password.into() })
}

/// How much of the image's name an entry's registry covers; nothing when it is for another one.
fn fit(registry: &str, reference: &str) -> Option<usize> {
    let stripped = registry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let stripped = stripped.trim_end_matches("/v1").trim_end_matches("/v2");
    let stripped = if stripped == "index.docker.io" { "docker.io" } else { stripped };
    let (host, path) = split_registry(reference);
    let full = format!("{host}/{path}");
    let rest = full.strip_prefix(stripped)?;
    rest.starts_with(['/', ':', '@']).then_some(stripped.len())
}

/// As Go prints a duration that is cut to milliseconds: `12ms`, `1.234s`, `1m2.5s`.
fn go_millis(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_string();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_get_a_tag_and_bad_ones_are_refused() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        let cases = [
            ("busybox", "busybox:latest"),
            ("busybox:1", "busybox:1"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("localhost:5000/a/b:v", "localhost:5000/a/b:v"),
            (digest.as_str(), digest.as_str()),
        ];
        for (name, full) in cases {
            assert_eq!(normalize(name).as_deref(), Ok(full));
        }
        for name in ["", "a b", "/a", "a:", "a//b", "a@sha256:1"] {
            assert_eq!(
                normalize(name).unwrap_err(),
                format!("couldn't parse image name \"{name}\": invalid reference format")
            );
        }
        assert!(normalize("Foo/bar").unwrap_err().ends_with("must be lowercase"));
    }

    #[test]
    fn pull_secrets_fit_by_registry() {
        let secret = |config: Value| -> Arc<Secret> {
            let text = base64::engine::general_purpose::STANDARD.encode(config.to_string());
            Arc::new(serde_json::from_value(json!({"data": {".dockerconfigjson": text}})).unwrap())
        };
        let config = json!({"auths": {
            "https://index.docker.io/v1/": {"auth": "dTpw"},
            "reg.example/team": {"username": "t", "password": "q"},
            "reg.example": {"username": "all", "password": "q"}}});
        let objects = Objects { secrets: [("s".to_string(), secret(config))].into(), ..Objects::default() };
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"imagePullSecrets": [{"name": "s"}], "containers": []}})).unwrap();
        let users = |reference: &str| -> Vec<String> {
            credentials(&pod, &objects, reference).into_iter().map(|auth| auth.username).collect()
        };
        assert_eq!(users("busybox:latest"), ["u"]);
        assert_eq!(users("reg.example/team/app:1"), ["t", "all"]);
        assert_eq!(users("reg.example/other:1"), ["all"]);
        assert_eq!(users("other.example/a:1"), Vec::<String>::new());
    }

    #[test]
    fn durations_read_as_go_prints_them() {
        let cases = [(0, "0s"), (12, "12ms"), (1234, "1.234s"), (1500, "1.5s"), (62_500, "1m2.5s"), (60_000, "1m0s")];
        for (millis, text) in cases {
            assert_eq!(go_millis(Duration::from_millis(millis)), text);
        }
    }
}
