//! How values are kept: by a list of ciphers with named keys, by a KMS plugin, or plainly.

use bytes::Bytes;
use registry::TransformError;

use crate::cipher::Cipher;
use crate::kms::Kms;

/// What every encrypted value starts with.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// Why a value does not open whose key is not there.
pub(crate) const UNKNOWN_KEY: &str = "no matching prefix found";

/// A value as it was, and whether it should be stored anew.
pub(crate) struct Opened {
    pub plain: Bytes,
    pub outdated: bool,
}

pub(crate) enum Provider {
    Identity,
    /// One kind of cipher under the prefix of its values, with keys by name; the first writes.
    Keyed {
        prefix: &'static str,
        keys: Vec<(String, Cipher)>,
    },
    Kms(Kms),
}

/// The first writes, all of them read.
pub(crate) struct Providers(pub Vec<Provider>);

impl Providers {
    pub fn seal(&self, key: &str, value: Bytes) -> Result<Bytes, TransformError> {
        match self.0.first() {
            None | Some(Provider::Identity) => Ok(value),
            Some(Provider::Keyed { prefix, keys }) => {
                let (name, cipher) = keys.first().ok_or_else(|| TransformError::Encrypt { key: key.to_owned() })?;
                let sealed = cipher.seal(key, &value);
                let sealed = sealed.ok_or_else(|| TransformError::Encrypt { key: key.to_owned() })?;
                Ok([prefix.as_bytes(), name.as_bytes(), b":", &sealed].concat().into())
            }
            Some(Provider::Kms(kms)) => kms.seal(key, &value).map(Bytes::from),
        }
    }

    pub fn open(&self, key: &str, stored: Bytes) -> Result<Opened, TransformError> {
        let mut why = UNKNOWN_KEY;
        for (at, provider) in self.0.iter().enumerate() {
            match provider.open(key, &stored) {
                Tried::Opened(opened) => return Ok(Opened { outdated: opened.outdated || at > 0, ..opened }),
                Tried::Failed(failure) => why = failure,
                Tried::NotMine => {}
            }
        }
        Err(TransformError::Decrypt { key: key.to_owned(), why })
    }

    /// Whether `seal` would make something of another kind or by another key today.
    pub fn is_outdated(&self, stored: &[u8]) -> bool {
        match self.0.first() {
            None | Some(Provider::Identity) => stored.starts_with(ENCRYPTED),
            Some(Provider::Keyed { prefix, keys }) => {
                let name = keys.first().map(|(name, _)| name.as_bytes()).unwrap_or_default();
                let rest = stored.strip_prefix(prefix.as_bytes()).and_then(|rest| rest.strip_prefix(name));
                !rest.is_some_and(|rest| rest.starts_with(b":"))
            }
            Some(Provider::Kms(kms)) => kms.is_outdated(stored),
        }
    }
}

enum Tried {
    Opened(Opened),
    Failed(&'static str),
    NotMine,
}

impl Provider {
    fn open(&self, key: &str, stored: &Bytes) -> Tried {
        match self {
            Self::Identity if stored.starts_with(ENCRYPTED) => Tried::NotMine,
            Self::Identity => Tried::Opened(Opened { plain: stored.clone(), outdated: false }),
            Self::Keyed { prefix, keys } => match stored.strip_prefix(prefix.as_bytes()) {
                Some(sealed) => open_keyed(keys, key, sealed),
                None => Tried::NotMine,
            },
            Self::Kms(kms) => match kms.open(key, stored) {
                None => Tried::NotMine,
                Some(Err(why)) => Tried::Failed(why),
                Some(Ok(plain)) => Tried::Opened(Opened { plain: plain.into(), outdated: kms.is_outdated(stored) }),
            },
        }
    }
}

fn open_keyed(keys: &[(String, Cipher)], key: &str, sealed: &[u8]) -> Tried {
    let named = keys.iter().enumerate().filter_map(|(at, (name, cipher))| {
        let body = sealed.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        Some((at, cipher, body))
    });
    let mut tried = Tried::NotMine;
    for (at, cipher, body) in named {
        match cipher.open(key, body) {
            Some(plain) => return Tried::Opened(Opened { plain: plain.into(), outdated: at > 0 }),
            None => tried = Tried::Failed("it was changed, or its key is another"),
        }
    }
    tried
}
