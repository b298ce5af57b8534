//! Certificates in files that are signed again before they end, while what shows them runs on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use files::FileWatch;
use tokio::sync::watch;

use crate::lineage::{Generation, Lineage};
use crate::pki::{self, Error, LeafSpec};
use crate::tls::Identity;

/// The longest sleep: a machine that sleeps does not feel the time pass.
pub(crate) const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// Wait after a failure, and the shortest sleep.
pub(crate) const RETRY: Duration = Duration::from_secs(60);

/// A certificate that an authority of the same process signs.
pub struct Leaf {
    authority: Arc<Lineage>,
    directory: PathBuf,
    name: &'static str,
    spec: LeafSpec,
    identity: Arc<Identity>,
    shown: Shown,
}

/// Texts are PEM.
#[derive(PartialEq, Eq)]
struct Shown {
    certificate: String,
    key: String,
    /// Shown after the certificate.
    chain: String,
    /// Who is trusted beside it.
    bundle: String,
}

impl Leaf {
    /// The certificate of the file, or a new one if that is not what is wanted any more.
    pub fn load(authority: &Arc<Lineage>, directory: &Path, name: &'static str, spec: LeafSpec) -> Result<Self, Error> {
        let shown = Shown::load(authority, directory, name, &spec)?;
        let identity = Identity::from_pem(&shown.with_chain(), &shown.key)?;
        let (authority, directory) = (authority.clone(), directory.to_owned());
        Ok(Self { authority, directory, name, spec, identity, shown })
    }

    /// What TLS shows; it is replaced when the certificate is.
    pub fn identity(&self) -> Arc<Identity> {
        self.identity.clone()
    }

    /// Certificate and key as PEM.
    pub fn pair(&self) -> (&str, &str) {
        (&self.shown.certificate, &self.shown.key)
    }

    /// Who is trusted beside it: PEM.
    pub fn bundle(&self) -> &str {
        &self.shown.bundle
    }

    /// Replaces the certificate in time and when the authority changes, and takes over what somebody else writes to
    /// the file. `told` learns of each new one, and of each change of the bundle. Runs until it is dropped, which is
    /// safe.
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
        let mut authority = self.authority.follow();
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
            self.wait(&mut watch, &mut authority).await?;
        }
    }

    /// Until it is due, the file says something else, or the authority is another; a moment at least.
    async fn wait(
        &self,
        watch: &mut FileWatch,
        authority: &mut watch::Receiver<Arc<Generation>>,
    ) -> std::io::Result<()> {
        loop {
            let due = pki::renewal_time(&self.shown.certificate).map_or(Duration::ZERO, until);
            tokio::select! {
                changed = watch.changed() => return changed,
                Ok(()) = authority.changed() => return Ok(()),
                () = tokio::time::sleep(due.clamp(RETRY, SLEEP_MAX)) => {}
            }
            if pki::needs_renewal(&self.shown.certificate) {
                return Ok(());
            }
        }
    }

    fn renew(&mut self) -> Result<bool, Error> {
        let shown = Shown::load(&self.authority, &self.directory, self.name, &self.spec)?;
        if shown == self.shown {
            return Ok(false);
        }
        self.identity.replace(&shown.with_chain(), &shown.key)?;
        self.shown = shown;
        Ok(true)
    }
}

impl Shown {
    fn load(authority: &Lineage, directory: &Path, name: &str, spec: &LeafSpec) -> Result<Self, Error> {
        let authority = authority.now();
        let (certificate, key) = authority.signer().load_or_issue(directory, name, spec)?;
        Ok(Self { certificate, key, chain: authority.chain()?, bundle: authority.bundle()? })
    }

    fn with_chain(&self) -> String {
        format!("{}{}", self.certificate, self.chain)
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
    use crate::lineage::CLUSTER;

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_replaced_in_time_and_when_its_file_is() {
        let _guard = clock::simulate(1);
        let directory = tempfile::tempdir().unwrap();
        let authority = Lineage::open(directory.path(), CLUSTER).unwrap();
        let spec = LeafSpec::client("jane", &[]);
        let leaf = Leaf::load(&authority, directory.path(), "jane", spec.clone()).unwrap();
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
        let (certificate, key) = authority.now().signer().issue(&spec).unwrap();
        pki::write_pair(directory.path(), "jane", &certificate, &key).unwrap();
        count(2).await;
        assert_eq!(seen.lock()[1], certificate);
        assert!(seen.lock()[0] != first);
        kept.abort();
    }
}
