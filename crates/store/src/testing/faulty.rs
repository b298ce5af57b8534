//! A store that fails once, or for good, in the midst of writes.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::{Error, KeyValue, Page, Result, Revision, Store, Watched, Write};

/// What happens in the place of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server is killed: that write does not happen, nor anything that would come after it.
    Killed,
    /// The store is out of reach for a moment.
    Lost,
    /// The write happens, and nobody learns of it.
    Unanswered,
}

/// Lets some writes through. Those of a group are written one by one, as engines do that can not do otherwise.
pub struct Faulty {
    store: Arc<dyn Store>,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Sound,
    /// The fault is yet to come, after so many writes.
    Left(usize, Fault),
    Failed(Fault),
}

impl Faulty {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, state: watch::Sender::new(State::Sound) }
    }

    /// The write after so many more does not go well.
    pub fn fail_after(&self, writes: usize, fault: Fault) {
        self.state.send_replace(State::Left(writes, fault));
    }

    pub fn has_failed(&self) -> bool {
        matches!(*self.state.borrow(), State::Failed(_))
    }

    /// Waits until the server is killed.
    pub async fn killed(&self) {
        let mut state = self.state.subscribe();
        state.wait_for(|state| *state == State::Failed(Fault::Killed)).await.expect("the sender is here");
    }

    fn alive(&self) -> Result<&dyn Store> {
        if *self.state.borrow() == State::Failed(Fault::Killed) { Err(killed()) } else { Ok(&*self.store) }
    }

    /// The fault of this write, if it has one.
    fn fault(&self) -> Option<Fault> {
        let mut fault = None;
        self.state.send_modify(|state| match *state {
            State::Left(0, of_this) => {
                fault = Some(of_this);
                *state = State::Failed(of_this);
            }
            State::Left(writes, of_later) => *state = State::Left(writes - 1, of_later),
            State::Sound | State::Failed(_) => {}
        });
        fault
    }
}

fn killed() -> Error {
    Error::Closed
}

#[async_trait]
impl Store for Faulty {
    async fn revision(&self) -> Result<Revision> {
        self.alive()?.revision().await
    }

    async fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>> {
        self.alive()?.get(key, at).await
    }

    async fn range(&self, range: Range<String>, limit: usize, at: Option<Revision>) -> Result<Page> {
        self.alive()?.range(range, limit, at).await
    }

    async fn count(&self, range: Range<String>, at: Option<Revision>) -> Result<usize> {
        self.alive()?.count(range, at).await
    }

    async fn write(&self, write: Write) -> Result<Revision> {
        let store = self.alive()?;
        match self.fault() {
            None => store.write(write).await,
            Some(Fault::Killed) => Err(killed()),
            Some(Fault::Lost) => Err(Error::Unreachable("a fault".to_owned())),
            Some(Fault::Unanswered) => {
                store.write(write).await?;
                Err(Error::Unknown("a fault".to_owned()))
            }
        }
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<mpsc::Receiver<Watched>> {
        self.alive()?.watch(prefix, from).await
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.alive()?.compact(revision).await
    }

    async fn lift(&self, revision: Revision) -> Result<()> {
        self.alive()?.lift(revision).await
    }
}
