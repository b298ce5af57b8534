//! Encryption at rest: what becomes of objects on their way to the store and back.
//!
//! Either the cluster's own keys encrypt Secrets ([`keys`]), or an `EncryptionConfiguration` says which
//! resources are encrypted how ([`config`]): by AES-GCM, AES-CBC, secretbox, or by keys that a KMS plugin keeps.
//! Values are as upstream's: `k8s:enc:<provider>:<version>:<key>:` and what the provider made of them.

mod cipher;
pub mod config;
pub mod keys;
mod kms;
pub mod passphrase;
mod provider;
mod resources;
mod rotate;

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use registry::{TransformError, Transformer};
use tokio::runtime::{Handle, RuntimeFlavor};

use provider::{Opened, Provider, Providers, UNKNOWN_KEY};
use resources::Resources;

pub use config::ConfigError;
pub use rotate::follow;

/// How long a key that another server writes by may take to come here.
const KEYS_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Resources, and how their values are kept. The first provider writes, all of them read.
pub(crate) struct Rule {
    pub resources: Resources,
    pub providers: Providers,
}

/// What a configuration file says, at one time.
#[derive(Default)]
pub(crate) struct Rules(pub Vec<Rule>);

/// Where the rules come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The cluster's own keys, made at first start.
    OwnKeys(PathBuf),
    /// The same, in common with other servers, which may write by a key that is on its way here.
    SharedKeys(PathBuf),
    /// An `EncryptionConfiguration` that an administrator wrote.
    Config(PathBuf),
}

/// Encrypts and decrypts by rules that can be replaced while it is in use.
pub struct Encryption {
    source: Source,
    rules: ArcSwap<Rules>,
}

impl Encryption {
    /// Reads the rules, and makes the cluster's own keys where there are none. Must run inside a tokio runtime.
    pub fn open(source: Source) -> Result<Self, ConfigError> {
        let rules = read(&source)?;
        Ok(Self { source, rules: ArcSwap::from_pointee(rules) })
    }

    /// Reads the rules again; what is wrong with them leaves the old ones in force.
    pub(crate) fn reload(&self) -> Result<Arc<Rules>, ConfigError> {
        let rules = read(&self.source)?;
        Ok(self.rules.swap(Arc::new(rules)))
    }
}

fn read(source: &Source) -> Result<Rules, ConfigError> {
    match source {
        Source::OwnKeys(path) | Source::SharedKeys(path) => keys::rules(path),
        Source::Config(path) => config::read(path),
    }
}

impl Encryption {
    /// Waits, for a moment, for other rules than these.
    fn later_rules(&self, before: &Arc<Rules>) -> Option<Arc<Rules>> {
        let started = clock::monotonic();
        while started.elapsed() < KEYS_WITHIN {
            let now = self.rules.load_full();
            if !Arc::ptr_eq(&now, before) {
                return Some(now);
            }
            aside(|| std::thread::sleep(LOOK_EVERY));
        }
        None
    }
}

/// Blocks a thread whose other tasks can go elsewhere; one that is alone with its runtime can only wait.
fn aside<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}

impl Rules {
    fn open(&self, key: &str, stored: Bytes) -> Result<Bytes, TransformError> {
        match self.of(key) {
            None => Ok(stored),
            Some(providers) => providers.open(key, stored).map(|Opened { plain, .. }| plain),
        }
    }

    /// The name of the key that values are written by, where there is one rule with one kind of cipher.
    fn writes_by(&self) -> Option<&str> {
        let [Rule { providers, .. }] = self.0.as_slice() else { return None };
        let Some(Provider::Keyed { keys, .. }) = providers.0.first() else { return None };
        keys.first().map(|(name, _)| name.as_str())
    }

    fn of(&self, key: &str) -> Option<&Providers> {
        self.0.iter().find(|rule| rule.resources.contain(key)).map(|rule| &rule.providers)
    }
}

impl Transformer for Encryption {
    fn to_storage(&self, key: &str, value: Bytes) -> Result<Bytes, TransformError> {
        match self.rules.load().of(key) {
            None => Ok(value),
            Some(providers) => providers.seal(key, value),
        }
    }

    fn from_storage(&self, key: &str, stored: Bytes) -> Result<Bytes, TransformError> {
        let rules = self.rules.load_full();
        let opened = rules.open(key, stored.clone());
        // What was damaged opens by no key that may come.
        let lacks_key = matches!(opened, Err(TransformError::Decrypt { why: UNKNOWN_KEY, .. }));
        match &self.source {
            Source::SharedKeys(_) if lacks_key => {
                self.later_rules(&rules).map_or(opened, |later| later.open(key, stored))
            }
            _ => opened,
        }
    }

    fn is_outdated(&self, key: &str, stored: &[u8]) -> bool {
        self.rules.load().of(key).is_some_and(|providers| providers.is_outdated(stored))
    }

    fn covers(&self, key: &str) -> bool {
        self.rules.load().of(key).is_some()
    }

    fn hold(&self, key: &str) -> Option<Arc<dyn Any + Send + Sync>> {
        let rules = self.rules.load_full();
        rules.of(key).is_some().then_some(rules as Arc<dyn Any + Send + Sync>)
    }
}
