//! Making images: layers from files, and archives (Docker's and OCI's) or registry blobs of them.
//!
//! Enough for tests, examples and tools that pack a static program; no build system.

use std::io::{self, Write};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How layers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Zstd,
}

/// One layer under construction: a tar of what is added, owned by root unless said otherwise.
pub struct Layer {
    tar: tar::Builder<Vec<u8>>,
}

/// An image: layers, lowest first, and what runs in it.
#[derive(Clone, Debug, Default)]
pub struct ImageBuilder {
    layers: Vec<Vec<u8>>,
    compression: Compression,
    env: Vec<String>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    user: String,
    working_dir: String,
    stop_signal: String,
}

/// Content addressed by `sha256:...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub media_type: String,
    pub digest: String,
    pub bytes: Vec<u8>,
}

/// An image as a registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blobs {
    pub manifest: Blob,
    pub config: Blob,
    pub layers: Vec<Blob>,
}

impl Default for Layer {
    fn default() -> Layer {
        Layer { tar: tar::Builder::new(Vec::new()) }
    }
}

impl Layer {
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> io::Result<Layer> {
        self.entry(EntryType::Regular, path, mode, (0, 0), "", content)
    }

    pub fn owned_file(self, path: &str, mode: u32, owner: (u32, u32), content: &[u8]) -> io::Result<Layer> {
        self.entry(EntryType::Regular, path, mode, owner, "", content)
    }

    pub fn directory(self, path: &str, mode: u32) -> io::Result<Layer> {
        self.entry(EntryType::Directory, path, mode, (0, 0), "", &[])
    }

    pub fn symlink(self, path: &str, target: &str) -> io::Result<Layer> {
        self.entry(EntryType::Symlink, path, 0o777, (0, 0), target, &[])
    }

    /// Hides a file of a lower layer.
    pub fn whiteout(self, path: &str) -> io::Result<Layer> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.file(&format!("{directory}/.wh.{name}"), 0o644, &[])
    }

    fn entry(
        mut self,
        kind: EntryType,
        path: &str,
        mode: u32,
        owner: (u32, u32),
        target: &str,
        content: &[u8],
    ) -> io::Result<Layer> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner.0.into());
        header.set_gid(owner.1.into());
        header.set_size(content.len() as u64);
        let path = path.trim_start_matches('/');
        if target.is_empty() {
            self.tar.append_data(&mut header, path, content)?;
        } else {
            self.tar.append_link(&mut header, path, target)?;
        }
        Ok(self)
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        self.tar.into_inner()
    }
}

impl ImageBuilder {
    pub fn layer(mut self, layer: Layer) -> io::Result<ImageBuilder> {
        self.layers.push(layer.finish()?);
        Ok(self)
    }

    pub fn compression(self, compression: Compression) -> ImageBuilder {
        ImageBuilder { compression, ..self }
    }

    pub fn env(mut self, name: &str, value: &str) -> ImageBuilder {
        self.env.push(format!("{name}={value}"));
        self
    }

    pub fn entrypoint(self, words: &[&str]) -> ImageBuilder {
        ImageBuilder { entrypoint: owned(words), ..self }
    }

    pub fn command(self, words: &[&str]) -> ImageBuilder {
        ImageBuilder { command: owned(words), ..self }
    }

    pub fn user(self, user: &str) -> ImageBuilder {
        ImageBuilder { user: user.to_owned(), ..self }
    }

    pub fn working_dir(self, path: &str) -> ImageBuilder {
        ImageBuilder { working_dir: path.to_owned(), ..self }
    }

    pub fn stop_signal(self, name: &str) -> ImageBuilder {
        ImageBuilder { stop_signal: name.to_owned(), ..self }
    }

    /// The image's id: the digest of its configuration.
    pub fn id(&self) -> String {
        digest(&self.config_bytes())
    }

    pub fn blobs(&self) -> io::Result<Blobs> {
        let layers = self.layers.iter().map(|layer| self.layer_blob(layer)).collect::<io::Result<Vec<_>>>()?;
        let config = blob(CONFIG, self.config_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(&config),
            "layers": layers.iter().map(descriptor).collect::<Vec<_>>(),
        });
        Ok(Blobs { manifest: blob(MANIFEST, manifest.to_string().into_bytes()), config, layers })
    }

    fn layer_blob(&self, layer: &[u8]) -> io::Result<Blob> {
        Ok(match self.compression {
            Compression::None => blob(LAYER, layer.to_vec()),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(layer)?;
                blob(&format!("{LAYER}+gzip"), encoder.finish()?)
            }
            Compression::Zstd => blob(&format!("{LAYER}+zstd"), zstd::encode_all(layer, 1)?),
        })
    }

    fn config_bytes(&self) -> Vec<u8> {
        let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
        let document = json!({
            "architecture": architecture, "os": "linux",
            "config": {
                "Env": self.env, "Entrypoint": self.entrypoint, "Cmd": self.command, "User": self.user,
                "WorkingDir": self.working_dir, "StopSignal": self.stop_signal,
            },
            "rootfs": { "type": "layers", "diff_ids": self.layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>() },
        });
        document.to_string().into_bytes()
    }
}

/// Writes images as `docker save` does, each with its names.
pub fn write_docker(images: &[(&[&str], &ImageBuilder)], out: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    let mut manifest = Vec::new();
    for (names, image) in images {
        let config = format!("{}.json", image.id().trim_start_matches("sha256:"));
        append(&mut archive, &config, &image.config_bytes())?;
        let mut layers = Vec::new();
        for layer in &image.layers {
            let path = format!("{}/layer.tar", digest(layer).trim_start_matches("sha256:"));
            append(&mut archive, &path, &image.layer_blob(layer)?.bytes)?;
            layers.push(path);
        }
        manifest.push(json!({ "Config": config, "RepoTags": names, "Layers": layers }));
    }
    append(&mut archive, "manifest.json", Value::from(manifest).to_string().as_bytes())?;
    archive.finish()
}

/// Writes images as an OCI layout, each with its name.
pub fn write_oci(images: &[(&str, &ImageBuilder)], out: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    append(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let mut manifests = Vec::new();
    for (name, image) in images {
        let blobs = image.blobs()?;
        for blob in blobs.layers.iter().chain([&blobs.config, &blobs.manifest]) {
            append(&mut archive, &format!("blobs/{}", blob.digest.replacen(':', "/", 1)), &blob.bytes)?;
        }
        let mut descriptor = descriptor(&blobs.manifest);
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        manifests.push(descriptor);
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    append(&mut archive, "index.json", index.to_string().as_bytes())?;
    archive.finish()
}

fn append(archive: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, path, bytes)
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

fn blob(media_type: &str, bytes: Vec<u8>) -> Blob {
    Blob { media_type: media_type.to_owned(), digest: digest(&bytes), bytes }
}

fn descriptor(blob: &Blob) -> Value {
    json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.bytes.len() })
}
