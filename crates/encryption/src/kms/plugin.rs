//! One plugin: asked every minute how it is and which key it has, on a thread of its own, so that those who
//! read and write values need not be asynchronous.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use grpc::{Client, Endpoint};
use prost::Message;
use tokio::sync::mpsc;

use crate::aside;
use tokio::time::Instant;

use super::messages::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, EncryptedObject, Source, StatusRequest,
    StatusResponse,
};
use super::seed::Key;

/// (upstream: envelopeKMSv2 health check intervals and validity)
const ASK_EVERY: Duration = Duration::from_secs(60);
const ASK_EVERY_UNHEALTHY: Duration = Duration::from_secs(10);
const VALID_FOR: Duration = Duration::from_secs(180);
const KEY_ID_MAX: usize = 1024;
const SEALED_MAX: usize = 1024;
const ANNOTATIONS_MAX: usize = 32 << 10;
/// Calls that wait for a plugin which is slow, or does not answer.
const ASKS_MAX: usize = 64;

/// The seed that values are sealed by, and what is stored of it with each.
pub(super) struct State {
    pub key: Arc<Key>,
    /// Without data.
    pub envelope: EncryptedObject,
    /// Until then the plugin need not have been heard of again.
    valid_until: Instant,
}

struct Shared {
    name: String,
    client: Client,
    state: ArcSwapOption<State>,
}

enum Ask {
    Refresh(SyncSender<Result<(), String>>),
    Decrypt(DecryptRequest, SyncSender<Result<Vec<u8>, String>>),
}

pub(super) struct Plugin {
    shared: Arc<Shared>,
    asks: mpsc::Sender<Ask>,
}

impl Plugin {
    pub fn start(name: &str, socket: &Path, timeout: Duration) -> Self {
        let client = Client { endpoint: Endpoint::Unix(socket.to_owned()), timeout };
        let shared = Arc::new(Shared { name: name.to_owned(), client, state: ArcSwapOption::empty() });
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let weak = Arc::downgrade(&shared);
        let thread = std::thread::Builder::new().name("kms".to_owned()).spawn(move || run(&weak, asked));
        if let Err(error) = thread {
            tracing::error!(%error, name, "no thread for the KMS plugin");
        }
        Self { shared, asks }
    }

    /// What values are sealed by at the moment, if the plugin was heard of.
    pub fn current(&self) -> Option<Arc<State>> {
        self.shared.state.load_full()
    }

    /// As [`Self::current`], but asks and waits when nothing valid is at hand.
    pub fn state(&self) -> Result<Arc<State>, String> {
        let valid = |state: &Arc<State>| state.valid_until > clock::monotonic();
        if let Some(state) = self.current().filter(valid) {
            return Ok(state);
        }
        self.ask(Ask::Refresh)?;
        self.current().filter(valid).ok_or_else(|| "the plugin has no key".to_owned())
    }

    pub fn decrypt(&self, object: &EncryptedObject) -> Result<Vec<u8>, String> {
        let request = DecryptRequest {
            ciphertext: object.encrypted_dek_source.clone(),
            uid: clock::uuid(),
            key_id: object.key_id.clone(),
            annotations: object.annotations.clone(),
        };
        self.ask(|reply| Ask::Decrypt(request, reply))
    }

    /// Waits for as long as the calls may take: one for the status, one for the key. Meanwhile another thread does
    /// what else there is to do on this one.
    fn ask<T>(&self, ask: impl FnOnce(SyncSender<Result<T, String>>) -> Ask) -> Result<T, String> {
        let (reply, answer) = sync_channel(1);
        self.asks.try_send(ask(reply)).map_err(|_| "too many wait for the plugin, or its thread ended".to_owned())?;
        match aside(|| answer.recv_timeout(self.shared.client.timeout * 2)) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err("deadline exceeded".to_owned()),
            Err(RecvTimeoutError::Disconnected) => Err("the plugin's thread ended".to_owned()),
        }
    }
}

/// Ends with the plugin.
fn run(shared: &Weak<Shared>, mut asked: mpsc::Receiver<Ask>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return tracing::error!("no runtime for the KMS plugin") };
    runtime.block_on(async {
        let mut pause = Duration::ZERO;
        loop {
            let ask = tokio::select! {
                ask = asked.recv() => match ask {
                    Some(ask) => Some(ask),
                    None => return,
                },
                () = tokio::time::sleep(pause) => None,
            };
            let Some(shared) = shared.upgrade() else { return };
            match ask {
                Some(Ask::Decrypt(request, reply)) => drop(reply.try_send(shared.decrypt(request).await)),
                Some(Ask::Refresh(reply)) => drop(reply.try_send(shared.refresh().await)),
                None => pause = shared.look_after().await,
            }
        }
    });
}

impl Shared {
    /// Answers when to look again.
    async fn look_after(&self) -> Duration {
        match self.refresh().await {
            Ok(()) => ASK_EVERY,
            Err(error) => {
                tracing::warn!(error, name = self.name, "the KMS plugin is not well");
                ASK_EVERY_UNHEALTHY
            }
        }
    }

    async fn call<Q: Message, A: Message + Default>(&self, method: &str, request: &Q) -> Result<A, String> {
        let path = format!("/v2.KeyManagementService/{method}");
        self.client.call(&path, request).await.map_err(|error| error.to_string())
    }

    async fn decrypt(&self, request: DecryptRequest) -> Result<Vec<u8>, String> {
        let answer: DecryptResponse = self.call("Decrypt", &request).await?;
        Ok(answer.plaintext)
    }

    /// Keeps the seed while the plugin has the same key, and makes another one otherwise.
    async fn refresh(&self) -> Result<(), String> {
        let status: StatusResponse = self.call("Status", &StatusRequest {}).await?;
        check(&status)?;
        let valid_until = clock::monotonic() + VALID_FOR;
        let kept = self.state.load_full().filter(|state| state.envelope.key_id == status.key_id);
        let state = match kept {
            Some(state) => State { key: state.key.clone(), envelope: state.envelope.clone(), valid_until },
            None => self.new_state(valid_until, &status.key_id).await?,
        };
        self.state.store(Some(Arc::new(state)));
        Ok(())
    }

    /// A seed by the key that the plugin said it has: until it encrypts by that, what was there stays.
    async fn new_state(&self, valid_until: Instant, key_id: &str) -> Result<State, String> {
        let mut seed = vec![0; 32];
        clock::fill_random(&mut seed);
        let request = EncryptRequest { plaintext: seed.clone(), uid: clock::uuid() };
        let answer: EncryptResponse = self.call("Encrypt", &request).await?;
        check_sealed(&answer, key_id)?;
        let key = Key::new(Source::Seed, &seed).ok_or("a seed has a wrong length")?;
        let envelope = EncryptedObject {
            encrypted_data: Vec::new(),
            key_id: answer.key_id,
            encrypted_dek_source: answer.ciphertext,
            annotations: answer.annotations,
            encrypted_dek_source_type: Source::Seed.into(),
        };
        Ok(State { key: Arc::new(key), envelope, valid_until })
    }
}

fn check(status: &StatusResponse) -> Result<(), String> {
    match status {
        StatusResponse { healthz, .. } if healthz != "ok" => Err(format!("got unexpected healthz status: {healthz}")),
        StatusResponse { version, .. } if !["v2", "v2beta1"].contains(&version.as_str()) => {
            Err(format!("expected KMSv2 API version v2, got {version}"))
        }
        StatusResponse { key_id, .. } if key_id.is_empty() || key_id.len() > KEY_ID_MAX => {
            Err("keyID is empty or too long".to_owned())
        }
        _ => Ok(()),
    }
}

/// (upstream: kmsv2 `ValidateEncryptedObject`, and `rotateDEKOnKeyIDChange`)
fn check_sealed(answer: &EncryptResponse, key_id: &str) -> Result<(), String> {
    let annotations: usize = answer.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    match answer.ciphertext.len() {
        _ if answer.key_id != key_id => Err("failed to rotate DEK: it is encrypted by another key".to_owned()),
        0 => Err("encrypted DEK source is empty".to_owned()),
        size if size > SEALED_MAX => {
            Err(format!("encrypted DEK source is {size} bytes, which exceeds the max size of {SEALED_MAX}"))
        }
        _ if annotations > ANNOTATIONS_MAX => {
            Err(format!("total size of annotations is {annotations}, which exceeds the max size of {ANNOTATIONS_MAX}"))
        }
        _ => Ok(()),
    }
}
