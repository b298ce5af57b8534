//! The cluster's own keys: a file with a key a line, `NAME:BASE64`. The first writes, all of them read.
//!
//! To rotate, a new key is put on top ([`add`]); a server stores everything anew by it and then drops the
//! others ([`drop_old`]). The file says at every moment what is needed to read the store, so that a crash
//! between any two steps costs nothing.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cipher::Cipher;
use crate::config::ConfigError;
use crate::provider::{Provider, Providers};
use crate::resources::Resources;
use crate::{Rule, Rules};
use filewatch::FileWatch;

const PREFIX: &str = "k8s:enc:aesgcm:v1:";
const LENGTH: usize = 32;
/// What the cluster encrypts by itself.
const ENCRYPTED: [&str; 1] = ["secrets"];

struct Line {
    name: String,
    secret: Vec<u8>,
}

/// The rules that the file makes, which is made if there is none. Keys that were `before` still read: the
/// store's history may need them.
pub(crate) fn rules(path: &Path, before: Option<&Rules>) -> Result<Rules, ConfigError> {
    let lines = match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let first = vec![new_line("key1".to_owned())];
            store(path, &first)?;
            first
        }
        Err(error) => return Err(unusable(path, error)),
    };
    private(path)?;
    let mut keys: Vec<(String, Cipher)> = lines.iter().filter_map(named_cipher).collect();
    keys.extend(before.into_iter().flat_map(|rules| retained(rules, &lines)));
    let providers = Providers(vec![Provider::Keyed { prefix: PREFIX, keys }, Provider::Identity]);
    Ok(Rules(vec![Rule { resources: Resources::parse(ENCRYPTED), providers }]))
}

fn named_cipher(line: &Line) -> Option<(String, Cipher)> {
    Some((line.name.clone(), Cipher::gcm(&line.secret)?))
}

/// The keys of earlier rules that the file does not hold any more.
fn retained(rules: &Rules, lines: &[Line]) -> Vec<(String, Cipher)> {
    let keyed = rules.0.iter().flat_map(|rule| &rule.providers.0).filter_map(|provider| match provider {
        Provider::Keyed { keys, .. } => Some(keys),
        _ => None,
    });
    let gone = keyed.flatten().filter(|(name, _)| lines.iter().all(|line| line.name != *name));
    gone.map(|(name, cipher)| (name.clone(), cipher.clone())).collect()
}

/// Puts a new key on top, unless a rotation is under way already. Answers how many keys there are now.
pub fn add(path: &Path) -> Result<usize, ConfigError> {
    let mut lines = load(path)?;
    if lines.len() == 1 {
        let newest = lines[0].name.strip_prefix("key").and_then(|number| number.parse::<u64>().ok()).unwrap_or(1);
        lines.insert(0, new_line(format!("key{}", newest + 1)));
        store(path, &lines)?;
    }
    Ok(lines.len())
}

/// How many keys the file holds.
pub fn count(path: &Path) -> Result<usize, ConfigError> {
    load(path).map(|lines| lines.len())
}

/// Waits until a server has stored everything by the first key and dropped the others.
pub async fn rotated(path: &Path) -> Result<(), ConfigError> {
    let mut watch = FileWatch::new(path).map_err(|error| unusable(path, error))?;
    while count(path)? > 1 {
        watch.changed().await.map_err(|error| unusable(path, error))?;
    }
    Ok(())
}

/// Drops all keys but the first, once nothing in the store needs them.
pub(crate) fn drop_old(path: &Path) -> Result<(), ConfigError> {
    let mut lines = load(path)?;
    if lines.len() > 1 {
        lines.truncate(1);
        store(path, &lines)?;
    }
    Ok(())
}

fn load(path: &Path) -> Result<Vec<Line>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| unusable(path, error))?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Line>, ConfigError> {
    let invalid = |why: &str| ConfigError::Syntax(path.display().to_string(), why.to_owned());
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Option<Vec<Line>> = lines.map(parse_line).collect();
    let lines = lines.ok_or_else(|| invalid("a line is not NAME:BASE64 with 32 bytes"))?;
    if lines.is_empty() { Err(invalid("there are no keys")) } else { Ok(lines) }
}

fn parse_line(line: &str) -> Option<Line> {
    let (name, secret) = line.split_once(':').filter(|(name, _)| !name.is_empty())?;
    let secret = STANDARD.decode(secret).ok().filter(|secret| secret.len() == LENGTH)?;
    Some(Line { name: name.to_owned(), secret })
}

fn new_line(name: String) -> Line {
    let mut secret = vec![0; LENGTH];
    clock::fill_random(&mut secret);
    Line { name, secret }
}

/// Puts a complete new file in the place of the old one.
fn store(path: &Path, lines: &[Line]) -> Result<(), ConfigError> {
    let text: String = lines.iter().map(|line| format!("{}:{}\n", line.name, STANDARD.encode(&line.secret))).collect();
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        std::fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().map_err(|error| unusable(path, error))
}

/// Refuses a file that others may read.
fn private(path: &Path) -> Result<(), ConfigError> {
    let mode = std::fs::metadata(path).map_err(|error| unusable(path, error))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(ConfigError::Syntax(path.display().to_string(), "it may be read by others: chmod 600 it".to_owned()))
}

fn unusable(path: &Path, error: std::io::Error) -> ConfigError {
    ConfigError::File(path.display().to_string(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_once_and_must_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        rules(&path, None).unwrap();
        let made = std::fs::read_to_string(&path).unwrap();
        rules(&path, None).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), made);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(rules(&path, None).is_err());
    }

    #[test]
    fn a_rotation_that_was_begun_is_not_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        rules(&path, None).unwrap();
        assert_eq!((add(&path).unwrap(), add(&path).unwrap()), (2, 2));
        let names: Vec<String> = load(&path).unwrap().into_iter().map(|line| line.name).collect();
        assert_eq!(names, ["key2", "key1"]);
        drop_old(&path).unwrap();
        assert_eq!(count(&path).unwrap(), 1);
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("key2:"));
    }
}
