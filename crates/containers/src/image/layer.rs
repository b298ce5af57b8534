//! A layer's tar becomes a directory that overlayfs takes as a lower one.
//!
//! The archive is not trusted: every name is resolved by the kernel inside the target directory (`RESOLVE_IN_ROOT`), and only its
//! last part is made, never followed. Whiteouts become what overlayfs knows: `.wh.NAME` a character device 0:0, and
//! `.wh..wh..opq` an attribute of its directory.
//!
//! `unsafe`: the calls for extended attributes, and `openat2`.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use machinery::strconv::hex;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;
use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Attributes travel in PAX headers with this prefix.
const XATTR_PREFIX: &str = "SCHILY.xattr.";

#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error("{path}: {source}")]
    Entry { path: String, source: io::Error },
    #[error("failed to read layer: {0}")]
    Read(#[from] io::Error),
    #[error("{0}: breaks out of the root")]
    Escape(String),
    #[error("wrong diff id calculated on extraction \"{found}\", expected \"{expected}\"")]
    DiffId { found: String, expected: String },
}

/// Unpacks into `target`, an empty directory; answers the bytes of its files. The stream must have the digest `diff_id`.
pub fn unpack(compressed: impl Read, target: &Path, diff_id: &str) -> Result<u64, LayerError> {
    let mut stream = Hashing { inner: decompress(compressed)?, hash: Sha256::new() };
    let root = Root { fd: File::open(target)?.into() };
    let mut size = 0;
    let mut directories = Vec::new();
    let mut archive = Archive::new(&mut stream);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = clean(&entry.path()?)?;
        size += entry.size();
        let failed = |source| LayerError::Entry { path: path.display().to_string(), source };
        if let Some(directory) = root.apply(&mut entry, &path).map_err(failed)? {
            directories.push(directory);
        }
    }
    // What is made in a directory changes its time, so the outermost come last.
    for (path, mtime) in directories.iter().rev() {
        root.at(path)
            .and_then(|place| place.set_time(*mtime))
            .map_err(|source| LayerError::Entry { path: path.display().to_string(), source })?;
    }
    // The digest covers the padding behind the last entry too.
    io::copy(&mut stream, &mut io::sink())?;
    let found = format!("sha256:{}", hex(&stream.hash.finalize()));
    if found == diff_id { Ok(size) } else { Err(LayerError::DiffId { found, expected: diff_id.to_owned() }) }
}

/// Decompresses what begins like gzip or zstd, and passes on everything else.
pub fn decompress<'a>(mut stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::new();
    stream.by_ref().take(4).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let whole = io::Cursor::new(magic).chain(stream);
    Ok(match kind.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(whole))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

/// The name without `/` and `.` in front; `..` is refused.
fn clean(path: &Path) -> Result<PathBuf, LayerError> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => clean.push(part),
            Component::ParentDir | Component::Prefix(_) => return Err(LayerError::Escape(path.display().to_string())),
            Component::CurDir | Component::RootDir => {}
        }
    }
    Ok(clean)
}

/// The directory that everything stays in.
struct Root {
    fd: OwnedFd,
}

/// One name in an open directory.
struct Place {
    directory: OwnedFd,
    name: CString,
}

impl Root {
    /// Makes one entry; directories answer the time to set at the end.
    fn apply<R: Read>(&self, entry: &mut Entry<'_, R>, path: &Path) -> io::Result<Option<(PathBuf, i64)>> {
        let header = entry.header();
        let mtime = header.mtime().unwrap_or(0) as i64;
        let Some(name) = path
            .file_name()
            .and_then(|name| name.to_str().map(str::to_owned))
            .or_else(|| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        else {
            return Ok(None);
        };
        if name == OPAQUE {
            self.directory(path.parent().unwrap_or(Path::new("")))?.set_attribute("trusted.overlay.opaque", b"y")?;
            return Ok(None);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            // `.wh..wh.` begins the names of aufs's own files.
            if !hidden.starts_with(WHITEOUT) {
                self.at(&path.with_file_name(hidden))?.make_whiteout()?;
            }
            return Ok(None);
        }
        let place = self.at(path)?;
        let kind = header.entry_type();
        if !self.make(entry, &place, kind)? {
            return Ok(None);
        }
        if kind != EntryType::Link {
            place.set_owner_and_mode(entry, kind)?;
            place.set_attributes(entry)?;
            if kind == EntryType::Directory {
                return Ok(Some((path.to_path_buf(), mtime)));
            }
            place.set_time(mtime)?;
        }
        Ok(None)
    }

    /// False for what is not a file of any kind.
    fn make<R: Read>(&self, entry: &mut Entry<'_, R>, place: &Place, kind: EntryType) -> io::Result<bool> {
        if kind != EntryType::Directory {
            place.clear()?;
        }
        let path = place.path();
        match kind {
            EntryType::Directory => place.make_directory()?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                io::copy(entry, &mut file)?;
            }
            EntryType::Symlink => symlink(link_name(entry)?, path)?,
            EntryType::Link => {
                let target = clean(&link_name(entry)?).map_err(io::Error::other)?;
                fs::hard_link(self.at(&target)?.path(), path)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => make_node(entry.header(), kind, &path)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The place of a path whose parents are made when they are not there.
    fn at(&self, path: &Path) -> io::Result<Place> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok(Place { directory: self.open_or_make(parent)?, name: CString::new(name.as_bytes())? })
    }

    /// A directory itself, as a place.
    fn directory(&self, path: &Path) -> io::Result<Place> {
        Ok(Place { directory: self.open_or_make(path)?, name: CString::from(c".") })
    }

    fn open_or_make(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.at(path)?.make_directory()?;
                self.open(path)
            }
            other => other,
        }
    }

    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        let text =
            if path.as_os_str().is_empty() { CString::from(c".") } else { CString::new(path.as_os_str().as_bytes())? };
        // SAFETY: the structure is plain data.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64;
        how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
        // SAFETY: name and structure live through the call; the size is the structure's.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                self.fd.as_raw_fd(),
                text.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}

impl Place {
    /// A path that leads through the open directory, whatever happens to its name.
    fn path(&self) -> PathBuf {
        Path::new("/proc/self/fd")
            .join(self.directory.as_raw_fd().to_string())
            .join(std::ffi::OsStr::from_bytes(self.name.as_bytes()))
    }

    /// A later entry of the same name replaces the earlier one.
    fn clear(&self) -> io::Result<()> {
        let path = self.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn make_directory(&self) -> io::Result<()> {
        let path = self.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => return Ok(()),
            Ok(_) => fs::remove_file(&path)?,
            Err(_) => {}
        }
        fs::DirBuilder::new().mode(0o755).create(path)
    }

    fn make_whiteout(&self) -> io::Result<()> {
        if fs::symlink_metadata(self.path()).is_ok() {
            return Ok(());
        }
        Ok(mknod(&self.path(), SFlag::S_IFCHR, Mode::empty(), makedev(0, 0))?)
    }

    fn set_owner_and_mode<R: Read>(&self, entry: &Entry<'_, R>, kind: EntryType) -> io::Result<()> {
        let header = entry.header();
        let id = |id: io::Result<u64>| id.map(|id| u32::try_from(id).unwrap_or(0));
        lchown(self.path(), Some(id(header.uid())?), Some(id(header.gid())?))?;
        // The owner comes first: a change of it clears setuid.
        if kind != EntryType::Symlink {
            fs::set_permissions(self.path(), fs::Permissions::from_mode(header.mode()? & 0o7777))?;
        }
        Ok(())
    }

    fn set_attributes<R: Read>(&self, entry: &mut Entry<'_, R>) -> io::Result<()> {
        let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
        for extension in extensions {
            let extension = extension?;
            if let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(XATTR_PREFIX))
                && !name.starts_with("trusted.")
            {
                self.set_attribute(name, extension.value_bytes())?;
            }
        }
        Ok(())
    }

    fn set_attribute(&self, name: &str, value: &[u8]) -> io::Result<()> {
        let path = CString::new(self.path().as_os_str().as_bytes())?;
        let name = CString::new(name)?;
        // SAFETY: path, name and value live through the call; the length is the value's.
        let result = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn set_time(&self, mtime: i64) -> io::Result<()> {
        let time = TimeSpec::new(mtime, 0);
        Ok(utimensat(nix::fcntl::AT_FDCWD, &self.path(), &time, &time, UtimensatFlags::NoFollowSymlink)?)
    }
}

fn link_name<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    Ok(entry.link_name()?.ok_or_else(|| io::Error::other("a link without a target"))?.into_owned())
}

fn make_node(header: &tar::Header, kind: EntryType, path: &Path) -> io::Result<()> {
    let kind = match kind {
        EntryType::Char => SFlag::S_IFCHR,
        EntryType::Block => SFlag::S_IFBLK,
        _ => SFlag::S_IFIFO,
    };
    let number = |part: io::Result<Option<u32>>| part.map(|part| u64::from(part.unwrap_or(0)));
    let device = makedev(number(header.device_major())?, number(header.device_minor())?);
    Ok(mknod(path, kind, Mode::from_bits_truncate(0o600), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    /// One entry: `KIND NAME [TARGET or CONTENT]`.
    fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, more) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o4755);
            header.set_uid(7);
            header.set_gid(8);
            header.set_mtime(1000);
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if is_link {
                header.set_link_name(more).unwrap();
            }
            let content = if is_link { "" } else { more };
            header.set_size(content.len() as u64);
            // Names are written as they are, whatever the library thinks of them.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(entries: &[(EntryType, &str, &str)]) -> (tempfile::TempDir, Result<u64, LayerError>) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("layer")).unwrap();
        let bytes = archive(entries);
        let diff_id = format!("sha256:{}", hex(&Sha256::digest(&bytes)));
        let result = unpack(&bytes[..], &directory.path().join("layer"), &diff_id);
        (directory, result)
    }

    #[test]
    fn files_keep_owner_mode_time_and_links() {
        let (directory, size) = unpacked(&[
            (EntryType::Directory, "bin/", ""),
            (EntryType::Regular, "bin/su", "suid"),
            (EntryType::Link, "bin/alias", "bin/su"),
            (EntryType::Symlink, "sh", "/bin/su"),
        ]);
        assert_eq!(size.unwrap(), 4);
        let file = fs::metadata(directory.path().join("layer/bin/su")).unwrap();
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777, file.mtime(), file.nlink()), (7, 8, 0o4755, 1000, 2));
        assert_eq!(fs::metadata(directory.path().join("layer/bin")).unwrap().mtime(), 1000);
        assert_eq!(fs::read_link(directory.path().join("layer/sh")).unwrap(), Path::new("/bin/su"));
    }

    #[test]
    fn whiteouts_become_overlayfs_ones() {
        let (directory, result) =
            unpacked(&[(EntryType::Regular, "etc/.wh.gone", ""), (EntryType::Regular, "opt/.wh..wh..opq", "")]);
        result.unwrap();
        let gone = fs::symlink_metadata(directory.path().join("layer/etc/gone")).unwrap();
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
        assert!(
            directory.path().join("layer/opt").is_dir() && !directory.path().join("layer/opt/.wh..wh..opq").exists()
        );
    }

    #[test]
    fn nothing_leaves_the_layer() {
        let (_, result) = unpacked(&[(EntryType::Regular, "../evil", "x")]);
        assert!(matches!(result, Err(LayerError::Escape(_))));
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().to_str().unwrap();
        let (_directory, result) = unpacked(&[(EntryType::Symlink, "a", target), (EntryType::Regular, "a/evil", "x")]);
        result.unwrap();
        assert!(!outside.path().join("evil").exists());
        // A link leads to where it would lead in the container.
        let (directory, result) = unpacked(&[
            (EntryType::Directory, "real", ""),
            (EntryType::Symlink, "a", "/../real"),
            (EntryType::Regular, "a/file", "x"),
        ]);
        result.unwrap();
        assert!(directory.path().join("layer/real/file").exists());
        let (_, result) = unpacked(&[(EntryType::Link, "shadow", "../../../etc/shadow")]);
        assert!(result.is_err());
    }

    #[test]
    fn a_file_over_a_link_replaces_the_link() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let (directory, result) =
            unpacked(&[(EntryType::Symlink, "f", outside.path().to_str().unwrap()), (EntryType::Regular, "f", "new")]);
        result.unwrap();
        assert_eq!(fs::read(outside.path()).unwrap(), b"");
        assert_eq!(fs::read(directory.path().join("layer/f")).unwrap(), b"new");
    }

    #[test]
    fn another_content_than_promised_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = unpack(&archive(&[])[..], directory.path(), "sha256:00").unwrap_err();
        assert!(error.to_string().starts_with("wrong diff id"), "{error}");
    }
}
