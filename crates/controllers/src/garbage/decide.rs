//! What happens to one object, given what its owners are. (upstream: garbagecollector.go attemptToDeleteItem)

use super::graph::Uid;

/// An owner, as the server knows it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It is there and keeps its dependents.
    Solid,
    /// It is gone, or another object has its name.
    Dangling,
    /// It is deleted in the foreground and waits for its dependents.
    Waiting,
}

/// A dependent of an object that is deleted in the foreground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependent {
    pub uid: Uid,
    /// Its reference says `blockOwnerDeletion`.
    pub blocks: bool,
    pub foreground: bool,
}

#[derive(Clone, Debug, Default)]
pub struct View {
    pub deleting: bool,
    pub foreground: bool,
    /// The object's own finalizers ask to orphan its dependents, or to delete them first.
    pub orphan_finalizer: bool,
    pub foreground_finalizer: bool,
    pub owners: Vec<(Uid, OwnerState)>,
    pub dependents: Vec<Dependent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Background,
    Foreground,
    Orphan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    /// All that held it back is gone: the foreground finalizer goes.
    Release,
    /// These must go first.
    Collect(Vec<Uid>),
    /// It stays, without the references to these owners.
    Unlink(Vec<Uid>),
    Delete {
        policy: Policy,
        unblock: bool,
    },
}

pub fn decide(view: &View) -> Action {
    if view.foreground {
        return wait_for_dependents(view);
    }
    if view.deleting || view.owners.is_empty() {
        return Action::Nothing;
    }
    let is = |state| view.owners.iter().any(|(_, owner)| *owner == state);
    if is(OwnerState::Solid) {
        let lost: Vec<Uid> =
            view.owners.iter().filter(|(_, state)| *state != OwnerState::Solid).map(|(uid, _)| uid.clone()).collect();
        return if lost.is_empty() { Action::Nothing } else { Action::Unlink(lost) };
    }
    if is(OwnerState::Waiting) && !view.dependents.is_empty() {
        // Two objects that wait for each other would wait for ever: this one stops blocking its owner.
        let unblock = view.dependents.iter().any(|dependent| dependent.foreground);
        return Action::Delete { policy: Policy::Foreground, unblock };
    }
    let policy = match (view.orphan_finalizer, view.foreground_finalizer) {
        (true, _) => Policy::Orphan,
        (false, true) => Policy::Foreground,
        (false, false) => Policy::Background,
    };
    Action::Delete { policy, unblock: false }
}

fn wait_for_dependents(view: &View) -> Action {
    let blocking = || view.dependents.iter().filter(|dependent| dependent.blocks);
    if blocking().next().is_none() {
        return Action::Release;
    }
    Action::Collect(
        blocking().filter(|dependent| !dependent.foreground).map(|dependent| dependent.uid.clone()).collect(),
    )
}
