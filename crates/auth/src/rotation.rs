//! Certificates in files that are signed again before they end, while what shows them runs on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use filewatch::FileWatch;

use crate::pki::{self, Authority, Error, LeafSpec};
use crate::tls::Identity;

/// The longest sleep: a machine that sleeps does not feel the time pass.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// Wait after a failure, and the shortest sleep.
const RETRY: Duration = Duration::from_secs(60);

/// A certificate that an authority of the same process signs.
pub struct Leaf {
    authority: Arc<Authority>,
    directory: PathBuf,
    name: &'static str,
    spec: LeafSpec,
    /// Shown after the certificate, as PEM.
    chain: String,
    identity: Arc<Identity>,
    pair: (String, String),
}

impl Leaf {
    /// The certificate of the file, or a new one if that is not what is wanted any more.
    pub fn load(
        authority: &Arc<Authority>,
        directory: &Path,
        name: &'static str,
        spec: LeafSpec,
        chain: &str,
    ) -> Result<Self, Error> {
        let pair = authority.load_or_issue(directory, name, &spec)?;
        let identity = Identity::from_pem(&format!("{}{chain}", pair.0), &pair.1)?;
        let (authority, directory, chain) = (authority.clone(), directory.to_owned(), chain.to_owned());
        Ok(Self { authority, directory, name, spec, chain, identity, pair })
    }

    /// What TLS shows; it is replaced when the certificate is.
    pub fn identity(&self) -> Arc<Identity> {
        self.identity.clone()
    }

    /// Certificate and key as PEM.
    pub fn pair(&self) -> (&str, &str) {
        (&self.pair.0, &self.pair.1)
    }

    /// Replaces the certificate in time, and takes over what somebody else writes to the file. `told` learns of each
    /// new one. Runs until it is dropped, which is safe.
    pub async fn keep(mut self, told: impl Fn(&Self) + Send) {
        loop {
            if let Err(error) = self.follow(&told).await {
                tracing::warn!(%error, name = self.name, "the file of a certificate can not be watched");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn follow(&mut self, told: &(impl Fn(&Self) + Send)) -> std::io::Result<()> {
        let mut watch = FileWatch::new(&self.directory.join(format!("{}.crt", self.name)))?;
        loop {
            // Also at first: it may have changed since it was read.
            match self.renew() {
                Ok(true) => {
                    tracing::info!(name = self.name, "a certificate was replaced");
                    told(self);
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, name = self.name, "a certificate can not be replaced"),
            }
            self.wait(&mut watch).await?;
        }
    }

    /// Until it is due, or the file says something else; a moment at least.
    async fn wait(&self, watch: &mut FileWatch) -> std::io::Result<()> {
        loop {
            let due = pki::renewal_time(&self.pair.0).map_or(Duration::ZERO, until);
            tokio::select! {
                changed = watch.changed() => return changed,
                () = tokio::time::sleep(due.clamp(RETRY, SLEEP_MAX)) => {}
            }
            if pki::needs_renewal(&self.pair.0) {
                return Ok(());
            }
        }
    }

    fn renew(&mut self) -> Result<bool, Error> {
        let pair = self.authority.load_or_issue(&self.directory, self.name, &self.spec)?;
        if pair == self.pair {
            return Ok(false);
        }
        self.identity.replace(&format!("{}{}", pair.0, self.chain), &pair.1)?;
        self.pair = pair;
        Ok(true)
    }
}

/// How long it is until then; nothing if that has passed.
pub fn until(then: jiff::Timestamp) -> Duration {
    let seconds = then.as_second().saturating_sub(clock::now().as_second());
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_replaced_in_time_and_when_its_file_is() {
        let _guard = clock::simulate(1);
        let directory = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::create("ca").unwrap());
        let spec = LeafSpec::client("jane", &[]);
        let leaf = Leaf::load(&authority, directory.path(), "jane", spec.clone(), "").unwrap();
        let first = leaf.pair().0.to_owned();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = seen.clone();
        let kept = tokio::spawn(leaf.keep(move |leaf| note.lock().push(leaf.pair().0.to_owned())));
        let count = |wanted: usize| {
            let seen = seen.clone();
            async move {
                while seen.lock().len() < wanted {
                    tokio::time::sleep(Duration::from_secs(12 * 3600)).await;
                }
            }
        };
        let begun = clock::now();
        count(1).await;
        let days = clock::now().duration_since(begun).as_secs() / 86_400;
        assert!((243..=244).contains(&days), "after two thirds of a year, not {days} days");
        let (certificate, key) = authority.issue(&spec).unwrap();
        pki::write_pair(directory.path(), "jane", &certificate, &key).unwrap();
        count(2).await;
        assert_eq!(seen.lock()[1], certificate);
        assert!(seen.lock()[0] != first);
        kept.abort();
    }
}
