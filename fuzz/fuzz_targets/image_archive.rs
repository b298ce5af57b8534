//! Archives of images: whatever they hold, the store has only whole images, and keeps within its directory.
#![no_main]

use std::fs;

use archive::{Compression, ImageBuilder, Layer};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

#[allow(dead_code)]
#[path = "../../crates/containers/src/api.rs"]
mod api;
#[allow(dead_code, unused_imports)]
#[path = "../../crates/containers/src/image/mod.rs"]
mod image;
#[allow(dead_code)]
#[path = "../../crates/containers/src/record.rs"]
mod record;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes(&'a [u8]),
    /// An archive as it should be, and bytes in it that are changed.
    Changed {
        docker: bool,
        compression: u8,
        name: &'a str,
        files: Vec<(&'a str, &'a [u8])>,
        changes: Vec<(u16, u8)>,
    },
    /// Documents and links of any names.
    Loose {
        config: &'a str,
        layers: Vec<&'a str>,
        tags: Vec<&'a str>,
        entries: Vec<(&'a str, &'a [u8])>,
        links: Vec<(&'a str, &'a str)>,
    },
}

fn changed(
    docker: bool,
    compression: u8,
    name: &str,
    files: &[(&str, &[u8])],
    changes: &[(u16, u8)],
) -> Option<Vec<u8>> {
    let layer =
        files.iter().try_fold(Layer::default(), |layer, (path, content)| layer.file(path, 0o644, content)).ok()?;
    let compression = [Compression::None, Compression::Gzip, Compression::Zstd][usize::from(compression) % 3];
    let image = ImageBuilder::default().compression(compression).layer(layer).ok()?;
    let mut bytes = Vec::new();
    let written = if docker {
        archive::write_docker(&[(&[name], &image)], &mut bytes)
    } else {
        archive::write_oci(&[(name, &image)], &mut bytes)
    };
    written.ok()?;
    let length = bytes.len();
    changes.iter().for_each(|(at, byte)| bytes[usize::from(*at) % length] = *byte);
    Some(bytes)
}

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8]) -> Option<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes).ok()
}

fn bytes(input: Input<'_>) -> Option<Vec<u8>> {
    match input {
        Input::Bytes(bytes) => Some(bytes.to_vec()),
        Input::Changed { docker, compression, name, files, changes } => {
            changed(docker, compression, name, &files, &changes)
        }
        Input::Loose { config, layers, tags, entries, links } => {
            let mut tar = tar::Builder::new(Vec::new());
            let manifest = json!([{"Config": config, "RepoTags": tags, "Layers": layers}]);
            append(&mut tar, "manifest.json", manifest.to_string().as_bytes())?;
            entries.iter().try_for_each(|(path, bytes)| append(&mut tar, path, bytes))?;
            for (path, target) in links {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, path, target).ok()?;
            }
            tar.into_inner().ok()
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    let Some(bytes) = bytes(input) else { return };
    let outside = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let (file, root) = (outside.path().join("archive"), outside.path().join("images"));
    fs::write(&file, &bytes).expect("a file");
    let store = image::Store::open(root.clone()).expect("a store");
    let (progress, _heard) = tokio::sync::mpsc::channel(1);
    let imported = store.import(&file, &progress);
    for image in store.list() {
        let entry = store.find(&image.id).expect("it is listed");
        assert!(store.layers(&entry.manifest).iter().all(|layer| layer.starts_with(&root) && layer.is_dir()));
    }
    if let Ok(images) = imported {
        let again = store.import(&file, &progress).expect("it was imported before");
        assert_eq!(again, images);
    }
    let count = fs::read_dir(outside.path()).expect("it is there").count();
    assert_eq!((count, fs::read(&file).expect("it is there")), (2, bytes));
    assert_eq!(fs::read_dir(root.join("ingest")).expect("it is there").count(), 0, "something is left over");
});
