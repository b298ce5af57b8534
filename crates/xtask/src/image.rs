//! Packs the image of the sample application: the repository's own server, and busybox where it is installed.

use std::path::{Path, PathBuf};

use anyhow::Context;
use archive::{ImageBuilder, Layer, write_docker};

use crate::build;

pub const SAMPLE: &str = "keelson.dev/sample:v1";
const SAMPLE_V2: &str = "keelson.dev/sample:v2";
const BUSYBOX: &str = "/bin/busybox";
/// What a shell in the image finds.
const APPLETS: &[&str] = &["sh", "cat", "ls", "wget", "nslookup", "ps", "sleep", "id", "env", "tar", "ip", "hostname"];

/// Writes an archive with two versions of the image, and answers where it is.
pub fn pack(release: bool) -> anyhow::Result<PathBuf> {
    let server = build::binary("sample", release)?;
    let content = std::fs::read(&server).with_context(|| format!("cannot read {}", server.display()))?;
    let image = |version: &str| -> anyhow::Result<ImageBuilder> {
        let layer = Layer::default().directory("tmp", 0o1777)?.file("sample", 0o755, &content)?;
        let image = ImageBuilder::default().layer(with_busybox(layer)?)?.entrypoint(&["/sample"]);
        Ok(image.env("PATH", "/bin").env("VERSION", version))
    };
    let path = server.with_file_name("sample.tar");
    write(&path, &image("v1")?, &image("v2")?)?;
    Ok(path)
}

fn write(path: &Path, one: &ImageBuilder, two: &ImageBuilder) -> anyhow::Result<()> {
    let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(write_docker(&[(&[SAMPLE], one), (&[SAMPLE_V2], two)], file)?)
}

fn with_busybox(layer: Layer) -> anyhow::Result<Layer> {
    let Ok(busybox) = std::fs::read(BUSYBOX) else { return Ok(layer) };
    let layer = layer.directory("bin", 0o755)?.file("bin/busybox", 0o755, &busybox)?;
    APPLETS.iter().try_fold(layer, |layer, applet| Ok(layer.symlink(&format!("bin/{applet}"), "busybox")?))
}
