//! Taking in archives: `docker save` (`manifest.json`) and OCI image layouts (`index.json`), several images each, as tar,
//! compressed or not.
//!
//! An uncompressed archive is read in place, by an index of its entries. A compressed one is decompressed beside the store first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use machinery::strconv::hex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::layer::decompress;
use super::store::parse_config;
use super::{ImageError, Name, Store};
use crate::api::Image;

/// Largest document of an archive that is read into memory.
const MAX_DOCUMENT: u64 = 16 << 20;
/// Symbolic links in an archive lead to entries in so many steps.
const MAX_LINKS: usize = 8;

const ARCHITECTURES: &[(&str, &str)] = &[("x86_64", "amd64"), ("aarch64", "arm64")];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct OciIndex {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Deserialize)]
struct OciManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

impl Store {
    /// Takes in every image of the archive; progress is (bytes read, bytes in all).
    pub fn import(&self, path: &Path, progress: &mpsc::Sender<(u64, u64)>) -> Result<Vec<Image>, ImageError> {
        let scratch = Scratch(self.ingest_path());
        let archive = Archive::open(path, &scratch.0, progress)?;
        if archive.entries.contains_key("manifest.json") {
            let images: Vec<DockerImage> = archive.document("manifest.json")?;
            return images.iter().map(|image| self.import_docker(&archive, image)).collect();
        }
        if archive.entries.contains_key("index.json") {
            let index: OciIndex = archive.document("index.json")?;
            let images: Result<Vec<Option<Image>>, ImageError> =
                index.manifests.iter().map(|manifest| self.import_oci(&archive, manifest)).collect();
            return Ok(images?.into_iter().flatten().collect());
        }
        Err(ImageError::Invalid("unrecognized image format: neither manifest.json nor index.json".to_owned()))
    }

    fn import_docker(&self, archive: &Archive<'_>, image: &DockerImage) -> Result<Image, ImageError> {
        let config = archive.bytes(&image.config)?;
        let promised = image.config.trim_start_matches("blobs/sha256/").trim_end_matches(".json");
        if promised.len() == 64 {
            check_digest(&config, promised)?;
        }
        self.import_layers(archive, &config, &image.layers)?;
        let tags = normalize(image.repo_tags.iter().flatten())?;
        self.enter(&config, &tags, None)
    }

    /// Nothing for another platform's image in an index.
    fn import_oci(&self, archive: &Archive<'_>, descriptor: &Descriptor) -> Result<Option<Image>, ImageError> {
        let bytes = archive.blob(&descriptor.digest)?;
        let name = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
            .iter()
            .find_map(|key| descriptor.annotations.get(*key));
        let tags = normalize(name.into_iter().filter(|name| name.contains([':', '/'])))?;
        let manifest_bytes = if is_index(descriptor) {
            let index: OciIndex = parse(&bytes, &descriptor.digest)?;
            let Some(manifest) = index.manifests.iter().find(|manifest| suits(manifest)) else { return Ok(None) };
            archive.blob(&manifest.digest)?
        } else {
            bytes
        };
        let manifest: OciManifest = parse(&manifest_bytes, &descriptor.digest)?;
        let config = archive.blob(&manifest.config.digest)?;
        let layers: Vec<String> = manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect();
        self.import_layers(archive, &config, &layers)?;
        self.enter(&config, &tags, Some(&descriptor.digest)).map(Some)
    }

    fn import_layers(&self, archive: &Archive<'_>, config: &[u8], layers: &[String]) -> Result<(), ImageError> {
        let diff_ids = parse_config(config)?.rootfs.diff_ids;
        if diff_ids.len() != layers.len() {
            return Err(ImageError::Invalid(format!(
                "mismatched image rootfs and manifest layers: {} and {}",
                diff_ids.len(),
                layers.len()
            )));
        }
        diff_ids.iter().zip(layers).try_for_each(|(diff_id, layer)| self.add_layer(diff_id, archive.open_entry(layer)?))
    }

    fn enter(&self, config: &[u8], tags: &[Name], digest: Option<&str>) -> Result<Image, ImageError> {
        let mut image = self.add_image(config, None, None)?;
        for name in tags {
            let digest = digest.map(|digest| name.with_digest(digest));
            image = self.add_image(config, name.tagged().as_deref(), digest.as_deref())?;
        }
        Ok(image)
    }
}

fn normalize<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<Vec<Name>, ImageError> {
    names.into_iter().map(|name| Name::parse(name).map_err(ImageError::Invalid)).collect()
}

fn is_index(descriptor: &Descriptor) -> bool {
    descriptor.media_type.contains("image.index") || descriptor.media_type.contains("manifest.list")
}

fn suits(descriptor: &Descriptor) -> bool {
    let own = ARCHITECTURES
        .iter()
        .find(|(rust, _)| *rust == std::env::consts::ARCH)
        .map_or(std::env::consts::ARCH, |(_, go)| go);
    descriptor.platform.as_ref().is_none_or(|platform| platform.os == "linux" && platform.architecture == own)
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

fn check_digest(bytes: &[u8], promised: &str) -> Result<(), ImageError> {
    let found = hex(&Sha256::digest(bytes));
    if found == promised.trim_start_matches("sha256:") {
        return Ok(());
    }
    Err(ImageError::Invalid(format!("unexpected digest sha256:{found}, expected {promised}")))
}

fn parse<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::Json(format!("failed to read {name}"), error))
}

/// What is decompressed into goes when the import is over.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "a temporary file stays until the next start");
        }
    }
}

/// Where an entry's bytes are, or which entry stands for it.
enum Place {
    Bytes { offset: u64, size: u64 },
    Link(String),
}

struct Archive<'a> {
    file: File,
    entries: BTreeMap<String, Place>,
    total: u64,
    progress: &'a mpsc::Sender<(u64, u64)>,
}

impl<'a> Archive<'a> {
    fn open(path: &Path, scratch: &Path, progress: &'a mpsc::Sender<(u64, u64)>) -> Result<Archive<'a>, ImageError> {
        let mut file = File::open(path)?;
        let mut magic = [0; 4];
        let length = file.read_at(&mut magic, 0)?;
        if magic[..length].starts_with(&[0x1f, 0x8b]) || magic[..length] == [0x28, 0xb5, 0x2f, 0xfd] {
            let mut plain = File::options().read(true).write(true).create_new(true).open(scratch)?;
            io::copy(&mut decompress(file)?, &mut plain)?;
            file = plain;
        }
        let entries = index(&file)?;
        Ok(Archive { total: file.metadata()?.len(), file, entries, progress })
    }

    fn place(&self, name: &str) -> Result<(u64, u64), ImageError> {
        let mut name = clean(Path::new(name));
        for _ in 0..MAX_LINKS {
            match self.entries.get(&name) {
                Some(Place::Bytes { offset, size }) => return Ok((*offset, *size)),
                Some(Place::Link(target)) => name.clone_from(target),
                None => break,
            }
        }
        Err(ImageError::Invalid(format!("the archive lacks {name}")))
    }

    fn open_entry(&self, name: &str) -> Result<Section<'_>, ImageError> {
        let (offset, size) = self.place(name)?;
        Ok(Section { archive: self, offset, end: offset + size })
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let mut section = self.open_entry(name)?;
        if section.end - section.offset > MAX_DOCUMENT {
            return Err(ImageError::Invalid(format!("{name} is too large")));
        }
        let mut bytes = Vec::new();
        section.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn blob(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        let bytes = self.bytes(&blob_path(digest))?;
        check_digest(&bytes, digest)?;
        Ok(bytes)
    }

    fn document<T: DeserializeOwned>(&self, name: &str) -> Result<T, ImageError> {
        parse(&self.bytes(name)?, name)
    }
}

fn index(file: &File) -> io::Result<BTreeMap<String, Place>> {
    let mut archive = tar::Archive::new(file);
    let mut entries = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = clean(&entry.path()?);
        let target = entry.link_name()?;
        let place = match (entry.header().entry_type(), target) {
            (tar::EntryType::Regular | tar::EntryType::Continuous, _) => {
                Place::Bytes { offset: entry.raw_file_position(), size: entry.size() }
            }
            (tar::EntryType::Symlink, Some(target)) => Place::Link(resolve(&name, &target)),
            (tar::EntryType::Link, Some(target)) => Place::Link(clean(&target)),
            _ => continue,
        };
        entries.insert(name, place);
    }
    Ok(entries)
}

/// A name without `.`, and `..` taken back one step.
fn clean(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            std::path::Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    parts.join("/")
}

fn resolve(link: &str, target: &Path) -> String {
    clean(&Path::new(link).parent().unwrap_or(Path::new("")).join(target))
}

/// A part of the archive's file, read at its own position.
struct Section<'a> {
    archive: &'a Archive<'a>,
    offset: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.end - self.offset).unwrap_or(usize::MAX));
        let length = self.archive.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += length as u64;
        // A reader that is behind, or gone, only misses a number.
        if let Err(mpsc::error::TrySendError::Closed(_)) =
            self.archive.progress.try_send((self.offset, self.archive.total))
        {
            return Ok(length);
        }
        Ok(length)
    }
}
