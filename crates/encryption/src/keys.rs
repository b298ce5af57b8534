//! The cluster's own keys: a file with a key a line, `NAME:BASE64`. The first writes, all of them read.
//!
//! To rotate, a new key is put on top ([`add`]); a server stores everything anew by it and then retires the others
//! ([`retire`]): `NAME:BASE64:REVISION` is a key that nothing from that revision on needs. It goes when nobody can read
//! what was before ([`forget`]). The file says at every moment what is needed to read the store and its history, so
//! that a crash between any two steps costs nothing.
//!
//! Servers that have the keys in common take one step after the other, none before all have taken the one before
//! ([`Phase`]): a new key reads, then it writes, then everything is stored anew and the others are retired.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cipher::Cipher;
use crate::config::ConfigError;
use crate::provider::{Provider, Providers};
use crate::resources::Resources;
use crate::{Rule, Rules};
use files::FileWatch;

/// Of the store.
type Revision = u64;

const PREFIX: &str = "k8s:enc:aesgcm:v1:";
const LENGTH: usize = 32;
/// What the cluster encrypts by itself.
const ENCRYPTED: [&str; 1] = ["secrets"];

#[derive(Clone)]
struct Line {
    name: String,
    secret: Vec<u8>,
    /// Of a key that was retired: from when on nothing needs it.
    retired: Option<Revision>,
}

impl Line {
    fn in_use(&self) -> bool {
        self.retired.is_none()
    }

    /// `key7` has 7.
    fn number(&self) -> u64 {
        self.name.strip_prefix("key").and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

/// How far a rotation among several servers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// One key is in use.
    Settled,
    /// The newest is for reading only: a server may not know it yet.
    Known,
    /// It writes: values by the others are still there.
    Writes,
}

/// Keys on their way between servers, in the form of the file.
#[derive(Clone)]
pub struct Keys(Vec<Line>);

impl Keys {
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        parse(Path::new("the keys"), text).map(Self)
    }

    pub fn text(&self) -> String {
        self.0.iter().map(printed).collect()
    }

    pub fn phase(&self) -> Phase {
        let newest = self.0.iter().map(Line::number).max();
        match self.0.first() {
            _ if in_use(&self.0) <= 1 => Phase::Settled,
            Some(first) if Some(first.number()) == newest => Phase::Writes,
            _ => Phase::Known,
        }
    }

    /// Adds a new key, for reading.
    pub fn add(&mut self) {
        let newest = self.0.iter().map(Line::number).max().unwrap_or(1);
        self.0.push(new_line(format!("key{}", newest + 1)));
    }

    /// Lets the newest key write.
    pub fn promote(&mut self) {
        self.0.sort_by_key(|line| std::cmp::Reverse(line.number()));
    }

    /// Retires all keys but the first, which everything is stored by from this revision on.
    pub fn retire(&mut self, revision: Revision) {
        self.0.iter_mut().skip(1).filter(|line| line.in_use()).for_each(|line| line.retired = Some(revision));
    }

    /// The revision from which on no retired key is needed, if there is such a key.
    pub fn retired(&self) -> Option<Revision> {
        self.0.iter().filter_map(|line| line.retired).max()
    }

    /// Drops the keys that were retired by this revision, once nobody can read what was before.
    pub fn forget(&mut self, revision: Revision) {
        self.0.retain(|line| line.retired.is_none_or(|retired| retired > revision));
    }
}

/// The rules that the file makes, which is made if there is none.
pub(crate) fn rules(path: &Path) -> Result<Rules, ConfigError> {
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
    let keys: Vec<(String, Cipher)> = lines.iter().filter_map(named_cipher).collect();
    let providers = Providers(vec![Provider::Keyed { prefix: PREFIX, keys }, Provider::Identity]);
    Ok(Rules(vec![Rule { resources: Resources::parse(ENCRYPTED), providers }]))
}

fn named_cipher(line: &Line) -> Option<(String, Cipher)> {
    Some((line.name.clone(), Cipher::gcm(&line.secret)?))
}

/// Puts a new key on top, unless a rotation is under way already. Answers how many keys are in use now.
pub fn add(path: &Path) -> Result<usize, ConfigError> {
    let keys = change(path, |keys| {
        if keys.phase() == Phase::Settled {
            keys.add();
            keys.promote();
        }
    })?;
    Ok(in_use(&keys.0))
}

/// Makes the file hold these keys, which several servers have in common.
pub fn take_over(path: &Path, keys: &Keys) -> Result<(), ConfigError> {
    let _lock = lock(path)?;
    match std::fs::read_to_string(path) {
        Ok(own) if own == keys.text() => Ok(()),
        _ => store(path, &keys.0),
    }
}

/// Keeps the keys of another such file as well, for reading: a server retires them once it has stored everything by the
/// first. The file is made if there is none.
pub fn keep(path: &Path, others: &str) -> Result<(), ConfigError> {
    let _lock = lock(path)?;
    let mut lines = if path.exists() { load(path)? } else { Vec::new() };
    for other in parse(path, others)? {
        match lines.iter_mut().find(|line| line.name == other.name) {
            None => lines.push(other),
            // What the other file uses is needed again.
            Some(line) if line.secret == other.secret => line.retired = line.retired.and(other.retired),
            Some(_) => {
                let why = format!("another key is called {} in the snapshot", other.name);
                return Err(ConfigError::Syntax(path.display().to_string(), why));
            }
        }
    }
    store(path, &lines)
}

/// How many keys of the file are in use.
pub fn count(path: &Path) -> Result<usize, ConfigError> {
    load(path).map(|lines| in_use(&lines))
}

fn in_use(lines: &[Line]) -> usize {
    lines.iter().filter(|line| line.in_use()).count()
}

/// Waits until a server has stored everything by the first key and retired the others.
pub async fn rotated(path: &Path) -> Result<(), ConfigError> {
    let mut watch = FileWatch::new(path).map_err(|error| unusable(path, error))?;
    while count(path)? > 1 {
        watch.changed().await.map_err(|error| unusable(path, error))?;
    }
    Ok(())
}

/// Retires the others than the key of this name, which everything is stored by from this revision on; nothing if that
/// is not the first any more.
pub(crate) fn retire(path: &Path, by: &str, revision: Revision) -> Result<(), ConfigError> {
    let is_first = |keys: &Keys| keys.0.first().is_some_and(|first| first.name == by);
    change(path, |keys| {
        if is_first(keys) {
            keys.retire(revision)
        }
    })
    .map(drop)
}

pub fn retired(path: &Path) -> Result<Option<Revision>, ConfigError> {
    load(path).map(|lines| Keys(lines).retired())
}

pub(crate) fn forget(path: &Path, revision: Revision) -> Result<(), ConfigError> {
    change(path, |keys| keys.forget(revision)).map(drop)
}

/// Changes the file, which a server and a command may do at the same time.
fn change(path: &Path, change: impl FnOnce(&mut Keys)) -> Result<Keys, ConfigError> {
    let _lock = lock(path)?;
    let mut keys = Keys(load(path)?);
    let before = keys.text();
    change(&mut keys);
    if keys.text() != before {
        store(path, &keys.0)?;
    }
    Ok(keys)
}

/// Held from before the file is read until it is written.
fn lock(path: &Path) -> Result<File, ConfigError> {
    let file = File::create(path.with_extension("lock"));
    file.and_then(|file| file.lock().map(|()| file)).map_err(|error| unusable(path, error))
}

fn load(path: &Path) -> Result<Vec<Line>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| unusable(path, error))?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Line>, ConfigError> {
    let invalid = |why: &str| ConfigError::Syntax(path.display().to_string(), why.to_owned());
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Option<Vec<Line>> = lines.map(parse_line).collect();
    let lines = lines.ok_or_else(|| invalid("a line is not NAME:BASE64 with 32 bytes, or NAME:BASE64:REVISION"))?;
    match lines.first() {
        None => Err(invalid("there are no keys")),
        Some(first) if !first.in_use() => Err(invalid("the first key is retired")),
        Some(_) => Ok(lines),
    }
}

fn parse_line(line: &str) -> Option<Line> {
    let (name, rest) = line.split_once(':').filter(|(name, _)| !name.is_empty())?;
    let (secret, retired) = match rest.split_once(':') {
        None => (rest, None),
        Some((secret, revision)) => (secret, Some(revision.parse().ok()?)),
    };
    let secret = STANDARD.decode(secret).ok().filter(|secret| secret.len() == LENGTH)?;
    Some(Line { name: name.to_owned(), secret, retired })
}

fn printed(line: &Line) -> String {
    let retired = line.retired.map(|revision| format!(":{revision}")).unwrap_or_default();
    format!("{}:{}{retired}\n", line.name, STANDARD.encode(&line.secret))
}

fn new_line(name: String) -> Line {
    let mut secret = vec![0; LENGTH];
    clock::fill_random(&mut secret);
    Line { name, secret, retired: None }
}

fn store(path: &Path, lines: &[Line]) -> Result<(), ConfigError> {
    let text: String = lines.iter().map(printed).collect();
    files::replace(path, &text, 0o600).map_err(|error| unusable(path, error))
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
        rules(&path).unwrap();
        let made = std::fs::read_to_string(&path).unwrap();
        rules(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), made);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(rules(&path).is_err());
    }

    #[test]
    fn keys_of_another_file_are_kept_behind_the_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        rules(&path).unwrap();
        let old = std::fs::read_to_string(&path).unwrap();
        add(&path).unwrap();
        for forgotten in [7, 9] {
            retire(&path, "key2", 9).unwrap();
            forget(&path, forgotten).unwrap();
            keep(&path, &old).unwrap();
            keep(&path, &old).unwrap();
            let known: Vec<_> = load(&path).unwrap().into_iter().map(|line| (line.name, line.retired)).collect();
            assert_eq!(known, [("key2".to_owned(), None), ("key1".to_owned(), None)]);
        }
        let other = dir.path().join("other");
        keep(&other, &old).unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), old);
        let stranger = format!("key1:{}\n", STANDARD.encode([7; LENGTH]));
        assert!(keep(&path, &stranger).is_err());
    }

    #[test]
    fn a_rotation_that_was_begun_is_not_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        rules(&path).unwrap();
        assert_eq!((add(&path).unwrap(), add(&path).unwrap()), (2, 2));
        let names: Vec<String> = load(&path).unwrap().into_iter().map(|line| line.name).collect();
        assert_eq!(names, ["key2", "key1"]);
    }

    #[test]
    fn keys_of_several_servers_go_through_phases() {
        let mut keys = Keys(vec![new_line("key1".to_owned())]);
        let shown = |keys: &Keys| {
            let names: Vec<String> = keys.0.iter().map(|line| format!("{}{:?}", line.name, line.retired)).collect();
            (keys.phase(), names.join(" "))
        };
        assert_eq!(shown(&keys), (Phase::Settled, "key1None".to_owned()));
        keys.add();
        assert_eq!(shown(&keys), (Phase::Known, "key1None key2None".to_owned()));
        keys.promote();
        assert_eq!(shown(&keys), (Phase::Writes, "key2None key1None".to_owned()));
        keys.retire(7);
        assert_eq!(shown(&keys), (Phase::Settled, "key2None key1Some(7)".to_owned()));
        keys.add();
        assert_eq!(shown(&keys), (Phase::Known, "key2None key1Some(7) key3None".to_owned()));
        keys.promote();
        let again = Keys::parse(&keys.text()).unwrap();
        assert_eq!(shown(&again), (Phase::Writes, "key3None key2None key1Some(7)".to_owned()));
        keys.forget(7);
        assert_eq!(shown(&keys), (Phase::Writes, "key3None key2None".to_owned()));
    }

    #[test]
    fn retired_keys_read_until_their_time_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        rules(&path).unwrap();
        for (by, revision) in [("key2", 7), ("key3", 9)] {
            add(&path).unwrap();
            retire(&path, by, revision).unwrap();
        }
        let known = || -> Vec<(String, Option<Revision>)> {
            load(&path).unwrap().into_iter().map(|line| (line.name, line.retired)).collect()
        };
        let (key1, key2, key3) = ("key1".to_owned(), "key2".to_owned(), "key3".to_owned());
        assert_eq!(known(), [(key3.clone(), None), (key2.clone(), Some(9)), (key1, Some(7))]);
        assert_eq!((count(&path).unwrap(), retired(&path).unwrap()), (1, Some(9)));
        forget(&path, 8).unwrap();
        assert_eq!(known(), [(key3.clone(), None), (key2, Some(9))]);
        forget(&path, 9).unwrap();
        assert_eq!((known(), retired(&path).unwrap()), (vec![(key3, None)], None));
    }

    #[test]
    fn keys_are_retired_for_the_one_that_everything_is_stored_by_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        rules(&path).unwrap();
        add(&path).unwrap();
        // Somebody put another on top while everything was stored by key2.
        let text = format!("{}{}", printed(&new_line("key3".to_owned())), std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, text).unwrap();
        retire(&path, "key2", 7).unwrap();
        assert_eq!(count(&path).unwrap(), 3);
    }

    #[test]
    fn a_key_that_a_command_adds_is_not_lost_to_what_a_server_writes_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let path = dir.path().join(format!("keys{round}"));
            let retired = |number: u64| Line { retired: Some(number), ..new_line(format!("key{number}")) };
            let mut lines = vec![new_line("key20".to_owned())];
            lines.extend((1..20).map(retired));
            store(&path, &lines).unwrap();
            std::thread::scope(|scope| {
                let server = scope.spawn(|| (1..20).try_for_each(|revision| forget(&path, revision)));
                add(&path).unwrap();
                server.join().unwrap().unwrap();
            });
            let left: Vec<String> = load(&path).unwrap().into_iter().map(|line| line.name).collect();
            assert_eq!(left, ["key21", "key20"]);
        }
    }
}
