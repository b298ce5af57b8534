//! Keys that a KMS plugin keeps (version 2): the plugin encrypts one seed for many values. Each value has a key
//! of its own, made from the seed and from bytes that are stored with it.
//! (upstream: apiserver/pkg/storage/value/encrypt/envelope/kmsv2)

mod messages;
mod plugin;
mod seed;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message as _;
use registry::TransformError;

use messages::{EncryptedObject, Source};
use plugin::Plugin;
use seed::Key;

/// Seeds that are kept at hand; a store rarely holds values of more.
const SEEDS_MAX: usize = 1000;

pub(crate) struct Kms {
    prefix: String,
    plugin: Plugin,
    /// Keys that the plugin has decrypted, by what they were encrypted as.
    opened: Mutex<HashMap<Vec<u8>, Arc<Key>>>,
}

impl Kms {
    /// Begins to ask the plugin how it is, on a thread of its own.
    pub fn start(name: &str, socket: &Path, timeout: Duration) -> Self {
        let prefix = format!("k8s:enc:kms:v2:{name}:");
        Self { prefix, plugin: Plugin::start(name, socket, timeout), opened: Mutex::default() }
    }

    /// Waits for the plugin only while it has not yet encrypted a seed.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, TransformError> {
        let failed = || TransformError::Encrypt { key: place.to_owned() };
        let state = self.plugin.state().map_err(|error| {
            tracing::warn!(error, "the KMS plugin gives no key");
            failed()
        })?;
        let data = state.key.seal(place, plain).ok_or_else(failed)?;
        let object = EncryptedObject { encrypted_data: data, ..state.envelope.clone() };
        Ok([self.prefix.as_bytes(), &object.encode_to_vec()].concat())
    }

    /// Nothing for what another provider made. Asks the plugin for a key that is not known yet, and waits.
    pub fn open(&self, place: &str, stored: &[u8]) -> Option<Result<Vec<u8>, &'static str>> {
        let body = stored.strip_prefix(self.prefix.as_bytes())?;
        Some(self.open_object(place, body))
    }

    fn open_object(&self, place: &str, body: &[u8]) -> Result<Vec<u8>, &'static str> {
        let object = EncryptedObject::decode(body).map_err(|_| "it is no encrypted object")?;
        let key = self.key(&object)?;
        key.open(place, &object.encrypted_data).ok_or("it was changed, or its key is another")
    }

    fn key(&self, object: &EncryptedObject) -> Result<Arc<Key>, &'static str> {
        let known =
            self.plugin.current().filter(|state| state.envelope.encrypted_dek_source == object.encrypted_dek_source);
        if let Some(state) = known {
            return Ok(state.key.clone());
        }
        if let Some(key) = self.opened.lock().get(&object.encrypted_dek_source) {
            return Ok(key.clone());
        }
        let plain = self.plugin.decrypt(object).map_err(|error| {
            tracing::warn!(error, "the KMS plugin opens no key");
            "the KMS plugin does not open its key"
        })?;
        let source = Source::try_from(object.encrypted_dek_source_type).map_err(|_| "its key is of an unknown kind")?;
        let key = Arc::new(Key::new(source, &plain).ok_or("its key has a wrong length")?);
        let mut opened = self.opened.lock();
        if opened.len() >= SEEDS_MAX {
            opened.clear();
        }
        opened.insert(object.encrypted_dek_source.clone(), key.clone());
        Ok(key)
    }

    /// Whether the plugin has another key now.
    pub fn is_outdated(&self, stored: &[u8]) -> bool {
        let object = stored.strip_prefix(self.prefix.as_bytes()).and_then(|body| EncryptedObject::decode(body).ok());
        let Some(object) = object else { return true };
        self.plugin.current().is_some_and(|state| state.envelope.key_id != object.key_id)
    }
}
