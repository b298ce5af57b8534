//! Authorities that give way to successors: what is in their files, and the steps from one to the next.
//!
//! `NAME.crt` holds who is trusted: first who signs, by `NAME.key`; then, while others change over, the certificate
//! by which its predecessor vouches for it, its predecessor's own, or its successor's. `NAME-next.crt` and
//! `NAME-next.key` are the successor's until it signs. A step that was cut off is finished by whoever reads next.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use files::FileWatch;
use jiff::Timestamp;
use tokio::sync::watch;
use x509_cert::certificate::Certificate;

use crate::pki::{self, AUTHORITY_DAYS, Authority, Error, LEAF_DAYS, pair_paths, read, write_file, write_pair};
use crate::rotation::{RETRY, SLEEP_MAX, until};
use crate::signer::Signer;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a successor is trusted before it signs: time for machines that were off for a night.
const ANNOUNCED: Duration = DAY;

/// A succession of authorities by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub name: &'static str,
    common_name: &'static str,
    /// How long what a predecessor signed may last.
    signed_life: Duration,
}

/// Who signs certificates of the cluster.
pub const CLUSTER: Line = Line { name: "ca", common_name: "keelson-ca", signed_life: DAY.saturating_mul(LEAF_DAYS) };

/// Whom it vouches for may speak for anybody.
pub const PROXIES: Line =
    Line { name: "front-proxy-ca", common_name: "keelson-front-proxy-ca", signed_life: CLUSTER.signed_life };

/// Keys that sign tokens; the certificates tell how old they are. Tokens may last as long as their askers want.
pub const SERVICE_ACCOUNTS: Line = Line {
    name: "service-account",
    common_name: "keelson-service-account",
    signed_life: DAY.saturating_mul(AUTHORITY_DAYS),
};

/// What comes next for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A successor is made, and trusted.
    Announce,
    /// The successor signs.
    Succeed,
    /// The predecessor is trusted no more.
    Retire,
}

/// A line at one time.
pub struct Generation {
    signer: Authority,
    /// The content of `NAME.crt`.
    trusted: Vec<Certificate>,
    next: Option<Authority>,
}

impl Generation {
    pub fn signer(&self) -> &Authority {
        &self.signer
    }

    /// Who is trusted, the one who signs first: PEM.
    pub fn bundle(&self) -> Result<String, Error> {
        pem(self.trusted.iter().filter(|of| !self.vouches(of)))
    }

    /// What goes after a certificate that the signer signed, so that those find the way who know its predecessor
    /// alone: PEM.
    pub fn chain(&self) -> Result<String, Error> {
        // Its own certificate would lead some of them astray, who take the first issuer that fits.
        let detour = self.trusted.iter().any(|of| self.vouches(of));
        pem(self.trusted.iter().skip(usize::from(detour)))
    }

    /// Whether the predecessor vouches for the signer by it.
    fn vouches(&self, certificate: &Certificate) -> bool {
        certificate != self.signer.certificate()
            && pki::public_key(certificate) == pki::public_key(self.signer.certificate())
    }

    /// Certificates of those who are trusted and do not sign.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Certificate> {
        self.trusted.iter().filter(|of| pki::public_key(of) != pki::public_key(self.signer.certificate()))
    }

    fn predecessor(&self) -> Option<&Certificate> {
        let next = self.next.as_ref().map(Authority::certificate);
        self.others().find(|of| Some(*of) != next)
    }

    /// What comes next, and when it does by itself.
    pub fn next_step(&self, line: &Line) -> (Step, Timestamp) {
        let (since, _) = pki::life(self.signer.certificate());
        match (&self.next, self.predecessor()) {
            (Some(next), _) => (Step::Succeed, pki::life(next.certificate()).0 + ANNOUNCED),
            // It began to sign a sleep later than it might have.
            (None, Some(old)) => (Step::Retire, pki::life(old).1.min(since + ANNOUNCED + SLEEP_MAX + line.signed_life)),
            (None, None) => (Step::Announce, pki::renewal(self.signer.certificate())),
        }
    }
}

impl Line {
    /// What the files in `directory` say; where there are none, they are made.
    pub fn load(&self, directory: &Path) -> Result<Generation, Error> {
        let _lock = lock(directory)?;
        self.settle(directory)
    }

    /// Takes the next step, whether or not its time has come.
    pub fn advance(&self, directory: &Path) -> Result<(Step, Generation), Error> {
        let _lock = lock(directory)?;
        let (step, _) = self.settle(directory)?.next_step(self);
        Ok((step, self.take(step, directory)?))
    }

    /// Takes the next step if its time has come.
    fn advance_in_time(&self, directory: &Path) -> Result<Generation, Error> {
        let _lock = lock(directory)?;
        let generation = self.settle(directory)?;
        let (step, at) = generation.next_step(self);
        if clock::now() < at {
            return Ok(generation);
        }
        tracing::info!(name = self.name, ?step, "an authority rotates");
        self.take(step, directory)
    }

    fn take(&self, step: Step, directory: &Path) -> Result<Generation, Error> {
        let now = self.settle(directory)?;
        match step {
            Step::Announce => {
                let next = Authority::create(&format!("{}@{}", self.common_name, clock::now().as_second()))?;
                let certificates = [next.certificate(), &now.signer.vouch_for(&next)?].map(Clone::clone);
                write_pair(directory, &self.next(), &pem(certificates.iter())?, next.key_pem())?;
            }
            Step::Succeed => {
                let next = read(&pair_paths(directory, &self.next()).1)?;
                pki::write_private(&pair_paths(directory, self.name).1, &next)?;
            }
            Step::Retire => self.write_trusted(directory, [now.signer.certificate()].into_iter())?,
        }
        // What begins with the files of the successor or the key is finished there.
        self.settle(directory)
    }

    /// Reads the files, and finishes what was begun.
    fn settle(&self, directory: &Path) -> Result<Generation, Error> {
        let (certificate, key) = pair_paths(directory, self.name);
        let (next_certificate, next_key) = pair_paths(directory, &self.next());
        if !certificate.exists() {
            let signer = match key.exists() {
                true => Authority::of_key(Signer::from_pem(&read(&key)?)?, self.common_name)?,
                false => Authority::create(self.common_name)?,
            };
            write_pair(directory, self.name, &signer.certificate_pem()?, signer.key_pem())?;
        }
        let mut trusted = certificates(&certificate)?;
        let mut next = match next_certificate.exists() {
            true => Some(Authority::load(directory, &self.next())?),
            false => None,
        };
        if next.is_some() && read(&next_key)? == read(&key)? {
            let successor = certificates(&next_certificate)?;
            if trusted.first() != successor.first() {
                trusted.retain(|of| !successor.contains(of));
                trusted.splice(0..0, successor);
                self.write_trusted(directory, trusted.iter())?;
            }
            for path in [&next_certificate, &next_key] {
                fs::remove_file(path).map_err(|source| Error::File { path: path.clone(), source })?;
            }
            next = None;
        }
        if let Some(next) = &next
            && !trusted.contains(next.certificate())
        {
            trusted.push(next.certificate().clone());
            self.write_trusted(directory, trusted.iter())?;
        }
        Ok(Generation { signer: Authority::load(directory, self.name)?, trusted, next })
    }

    fn write_trusted<'a>(
        &self,
        directory: &Path,
        certificates: impl Iterator<Item = &'a Certificate>,
    ) -> Result<(), Error> {
        write_file(&pair_paths(directory, self.name).0, &pem(certificates)?, 0o644)
    }

    fn next(&self) -> String {
        format!("{}-next", self.name)
    }
}

/// Held by who reads or writes the files of authorities, which belong together.
pub fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let lock = || {
        fs::create_dir_all(directory)?;
        let file = File::create(&path)?;
        file.lock()?;
        Ok(file)
    };
    lock().map_err(|source| Error::File { path: path.clone(), source })
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    pki::read_certificates(&read(path)?)
}

fn pem<'a>(certificates: impl Iterator<Item = &'a Certificate>) -> Result<String, Error> {
    certificates.map(pki::certificate_pem).collect()
}

/// A line that is followed while it goes on.
pub struct Lineage {
    line: Line,
    directory: PathBuf,
    now: watch::Sender<Arc<Generation>>,
}

impl Lineage {
    pub fn open(directory: &Path, line: Line) -> Result<Arc<Self>, Error> {
        let now = watch::Sender::new(Arc::new(line.advance_in_time(directory)?));
        Ok(Arc::new(Self { line, directory: directory.to_owned(), now }))
    }

    pub fn now(&self) -> Arc<Generation> {
        self.now.borrow().clone()
    }

    /// Tells of each change from now on.
    pub fn follow(&self) -> watch::Receiver<Arc<Generation>> {
        self.now.subscribe()
    }

    /// Takes each step in time, and takes over what somebody else writes to the files. Runs until it is dropped,
    /// which is safe.
    pub async fn keep(&self) {
        loop {
            if let Err(error) = self.watch_files().await {
                tracing::warn!(%error, name = self.line.name, "the files of an authority can not be watched");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn watch_files(&self) -> std::io::Result<()> {
        let mut watch = FileWatch::new(&pair_paths(&self.directory, self.line.name).0)?;
        loop {
            // Also at first: it may have changed since it was read.
            if let Err(error) = self.renew() {
                tracing::error!(%error, name = self.line.name, "an authority can not be read or rotated");
            }
            self.wait(&mut watch).await?;
        }
    }

    /// Until the next step is due, or the file says something else.
    async fn wait(&self, watch: &mut FileWatch) -> std::io::Result<()> {
        let (_, at) = self.now().next_step(&self.line);
        loop {
            tokio::select! {
                changed = watch.changed() => return changed,
                () = tokio::time::sleep(until(at).clamp(RETRY, SLEEP_MAX)) => {}
            }
            if clock::now() >= at {
                return Ok(());
            }
        }
    }

    /// Reads the files again.
    pub fn renew(&self) -> Result<(), Error> {
        let generation = self.line.advance_in_time(&self.directory)?;
        self.now.send_if_modified(|now| {
            let changed = now.trusted != generation.trusted;
            *now = Arc::new(generation);
            changed
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
