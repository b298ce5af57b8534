//! Writes of several objects that happen as one.

use parking_lot::Mutex;
use store::{Revision, Store, Write};

use crate::admission::{Admitted, Counted};

/// Writes that go along with that of another object, if that one happens.
#[derive(Default)]
pub struct Along {
    writes: Mutex<Vec<Write>>,
    outcomes: Mutex<Vec<store::Result<Revision>>>,
}

impl Along {
    /// What the next attempt takes along.
    pub fn set(&self, writes: Vec<Write>) {
        *self.writes.lock() = writes;
    }

    /// What came of them, in their order; empty when the object did not change.
    pub fn into_outcomes(self) -> Vec<store::Result<Revision>> {
        self.outcomes.into_inner()
    }

    pub(super) async fn follow(&self, store: &dyn Store, lead: Write) -> store::Result<Revision> {
        let writes = std::mem::take(&mut *self.writes.lock());
        let group = store.write_group(lead, writes).await?;
        *self.outcomes.lock() = group.rest;
        Ok(group.lead)
    }
}

/// What a write happens together with.
pub(super) enum Together<'a> {
    Nothing,
    Along(&'a Along),
    Counted(Box<dyn Counted>),
}

impl From<Admitted> for Together<'_> {
    fn from(admitted: Admitted) -> Self {
        admitted.map_or(Together::Nothing, Together::Counted)
    }
}
