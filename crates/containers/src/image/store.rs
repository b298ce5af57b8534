//! The image store of a node: `images/index.json`, and `images/layers/DIGEST/` for each unpacked layer.
//!
//! Layers are known by the digest of their tar and shared by images. A layer is unpacked beside its place and renamed to it, and
//! the index is replaced in one piece, so that a crash leaves only what the next start throws away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use machinery::strconv::hex;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ImageError;
use super::layer::unpack;
use crate::api::{Error, FilesystemUsage, Image, Result};
use crate::record::{self, Durability};

/// Hexadecimal digits of a layer's digest in its directory's name: short, for all of a mount's layers must fit one page.
const NAME_DIGITS: usize = 26;

/// What an image configuration says, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(default)]
    pub config: Config,
    #[serde(default)]
    pub rootfs: RootFs,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    pub user: Option<String>,
    pub env: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    pub working_dir: Option<String>,
    pub stop_signal: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// `sha256:...` of each layer's tar, the lowest first.
    pub diff_ids: Vec<String>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub image: Image,
    pub manifest: Manifest,
}

#[derive(Default, Serialize, Deserialize)]
struct Index {
    /// By id.
    images: BTreeMap<String, Entry>,
    /// Bytes of the files of each layer.
    layers: BTreeMap<String, u64>,
    /// Layers of images that are being taken in: nobody may remove them for want of an image.
    #[serde(skip)]
    claimed: BTreeSet<String>,
}

pub struct Store {
    root: PathBuf,
    index: Mutex<Index>,
}

/// The directory of a layer below the images' one.
pub fn layer_directory(images: &Path, diff_id: &str) -> PathBuf {
    let digits = diff_id.trim_start_matches("sha256:");
    images.join("layers").join(digits.get(..NAME_DIGITS).unwrap_or(digits))
}

impl Store {
    /// Opens the store and throws away what a crash left half made.
    pub fn open(root: PathBuf) -> io::Result<Store> {
        let ingest = root.join("ingest");
        if ingest.exists() {
            fs::remove_dir_all(&ingest)?;
        }
        // Layers may hold setuid programs: they are not for the host's other users.
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&ingest)?;
        builder.create(root.join("layers"))?;
        fs::create_dir_all(root.join("layers/empty"))?;
        let index: Index = match record::load(&root.join("index.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Index::default(),
            other => other?,
        };
        let store = Store { root, index: Mutex::new(index) };
        store.remove_unused_layers()?;
        Ok(store)
    }

    /// A new name for something that is being taken in.
    pub fn ingest_path(&self) -> PathBuf {
        self.root.join("ingest").join(clock::uuid())
    }

    /// Whether a layer is here; from now on it stays until an image of it is entered.
    pub fn claim(&self, diff_id: &str) -> bool {
        let mut index = self.index.lock();
        index.claimed.insert(diff_id.to_owned());
        index.layers.contains_key(diff_id)
    }

    /// Unpacks a layer, compressed or not, unless it is here.
    pub fn add_layer(&self, diff_id: &str, stream: impl Read) -> std::result::Result<(), ImageError> {
        if self.claim(diff_id) {
            return Ok(());
        }
        let temporary = self.ingest_path();
        fs::create_dir(&temporary)?;
        let size = match unpack(stream, &temporary, diff_id) {
            Ok(size) => size,
            Err(error) => {
                fs::remove_dir_all(&temporary)?;
                return Err(error.into());
            }
        };
        sync_filesystem(&temporary)?;
        let mut index = self.index.lock();
        let place = layer_directory(&self.root, diff_id);
        if place.exists() {
            fs::remove_dir_all(&temporary)?;
        } else {
            fs::rename(&temporary, place)?;
        }
        index.layers.insert(diff_id.to_owned(), size);
        Ok(())
    }

    /// Enters an image whose layers are here under these names; a name moves from the image that had it.
    pub fn add_image(
        &self,
        config: &[u8],
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> std::result::Result<Image, ImageError> {
        let manifest = parse_config(config)?;
        let id = format!("sha256:{}", hex(&Sha256::digest(config)));
        let mut index = self.index.lock();
        if let Some(missing) = manifest.rootfs.diff_ids.iter().find(|layer| !index.layers.contains_key(*layer)) {
            return Err(ImageError::Invalid(format!("layer {missing} is missing")));
        }
        if let Some(tag) = tag {
            index.images.values_mut().for_each(|entry| entry.image.tags.retain(|known| known != tag));
        }
        let size = manifest.rootfs.diff_ids.iter().filter_map(|layer| index.layers.get(layer)).sum();
        let user = manifest.config.user.clone().filter(|user| !user.is_empty());
        let image = Image { id: id.clone(), tags: Vec::new(), digests: Vec::new(), size, user };
        let entry = index.images.entry(id).or_insert(Entry { image, manifest });
        add_name(&mut entry.image.tags, tag);
        add_name(&mut entry.image.digests, digest);
        let image = entry.image.clone();
        let layers = entry.manifest.rootfs.diff_ids.clone();
        index.claimed.retain(|layer| !layers.contains(layer));
        self.save(&index)?;
        Ok(image)
    }

    pub fn list(&self) -> Vec<Image> {
        self.index.lock().images.values().map(|entry| entry.image.clone()).collect()
    }

    /// By id (whole or its first digits), by digest or by name.
    pub fn find(&self, reference: &str) -> Option<Entry> {
        let index = self.index.lock();
        if let Some(entry) = index.images.get(reference) {
            return Some(entry.clone());
        }
        let named = super::Name::parse(reference).ok();
        let tag = named.as_ref().and_then(super::Name::tagged);
        let digest = named.as_ref().and_then(|name| Some(name.with_digest(name.digest()?)));
        let has_name = |image: &Image| match (&digest, &tag) {
            (Some(digest), _) => image.digests.contains(digest),
            (None, Some(tag)) => image.tags.contains(tag),
            (None, None) => false,
        };
        let has_prefix =
            |image: &Image| reference.len() >= 12 && image.id.trim_start_matches("sha256:").starts_with(reference);
        index
            .images
            .values()
            .find(|entry| has_name(&entry.image))
            .or_else(|| index.images.values().find(|entry| has_prefix(&entry.image)))
            .cloned()
    }

    /// Removes a name, and with the last one (or by its id) the image and the layers that no other has.
    pub fn remove(&self, reference: &str, in_use: &BTreeSet<String>) -> Result<()> {
        let Some(entry) = self.find(reference) else { return Ok(()) };
        let id = entry.image.id;
        let tag = super::Name::parse(reference).ok().and_then(|name| name.tagged());
        let mut index = self.index.lock();
        let by_name = tag.filter(|tag| entry.image.tags.contains(tag) && entry.image.tags.len() > 1);
        match (by_name, index.images.get_mut(&id)) {
            (Some(tag), Some(entry)) => entry.image.tags.retain(|known| *known != tag),
            _ if in_use.contains(&id) => {
                return Err(Error::Runtime(format!("image {reference} is in use by a container")));
            }
            _ => {
                index.images.remove(&id);
            }
        }
        self.save(&index).map_err(to_api)?;
        drop(index);
        self.remove_unused_layers().map_err(to_api)
    }

    /// Directories of an image's layers, the topmost first; at least one.
    pub fn layers(&self, manifest: &Manifest) -> Vec<PathBuf> {
        let layers: Vec<PathBuf> =
            manifest.rootfs.diff_ids.iter().rev().map(|layer| layer_directory(&self.root, layer)).collect();
        if layers.is_empty() { vec![self.root.join("layers/empty")] } else { layers }
    }

    /// The file system that images lie on, and what they take of it.
    pub fn filesystem(&self) -> io::Result<FilesystemUsage> {
        let stat = nix::sys::statvfs::statvfs(&self.root)?;
        let unit = stat.fragment_size();
        Ok(FilesystemUsage {
            mountpoint: self.root.clone(),
            used_bytes: self.index.lock().layers.values().sum(),
            capacity_bytes: stat.blocks() * unit,
            available_bytes: stat.blocks_available() * unit,
            inodes_used: stat.files() - stat.files_free(),
            inodes: stat.files(),
            inodes_free: stat.files_free(),
        })
    }

    fn remove_unused_layers(&self) -> io::Result<()> {
        let mut index = self.index.lock();
        let used: BTreeSet<String> = index
            .images
            .values()
            .flat_map(|entry| entry.manifest.rootfs.diff_ids.iter())
            .chain(&index.claimed)
            .cloned()
            .collect();
        index.layers.retain(|layer, _| used.contains(layer));
        let known: BTreeSet<PathBuf> = used
            .iter()
            .map(|layer| layer_directory(&self.root, layer))
            .chain([self.root.join("layers/empty")])
            .collect();
        for directory in fs::read_dir(self.root.join("layers"))? {
            let path = directory?.path();
            if !known.contains(&path) {
                // By way of the ingest directory: half a layer must not look like a whole one.
                let doomed = self.ingest_path();
                fs::rename(path, &doomed)?;
                fs::remove_dir_all(doomed)?;
            }
        }
        self.save(&index)
    }

    fn save(&self, index: &Index) -> io::Result<()> {
        record::save(&self.root.join("index.json"), index, Durability::Disk)
    }
}

pub fn parse_config(bytes: &[u8]) -> std::result::Result<Manifest, ImageError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ImageError::Json("failed to read the image configuration".to_owned(), error))
}

fn add_name(names: &mut Vec<String>, name: Option<&str>) {
    if let Some(name) = name
        && !names.iter().any(|known| known == name)
    {
        names.push(name.to_owned());
    }
}

/// One sync for all files of a layer.
fn sync_filesystem(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(path)?)?)
}

pub fn to_api(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace(error.to_string()),
        _ => Error::Runtime(error.to_string()),
    }
}
