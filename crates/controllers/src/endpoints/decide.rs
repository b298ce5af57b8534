//! Spreading backends over slices with as few writes as possible.

use std::collections::{BTreeMap, VecDeque};

use super::backends::{Backend, Port};

/// Endpoints in one slice. (upstream: --max-endpoints-per-slice)
pub const SLICE_MAX: usize = 100;

/// A slice of the service and address family in question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SliceView {
    pub name: String,
    pub ports: Vec<Port>,
    /// In the slice's order; `ports` of each are the slice's.
    pub backends: Vec<Backend>,
    /// Its labels or owner are not what they should be.
    pub stale: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Create { ports: Vec<Port>, backends: Vec<Backend> },
    Update { slice: String, ports: Vec<Port>, backends: Vec<Backend> },
    Delete { slice: String },
}

/// One slice's new content.
struct Draft<'a> {
    slice: &'a SliceView,
    backends: Vec<Backend>,
    changed: bool,
}

pub fn decide(wanted: Vec<Backend>, slices: &[SliceView]) -> Vec<Action> {
    let mut groups: BTreeMap<Vec<Port>, VecDeque<Backend>> = BTreeMap::new();
    for mut backend in wanted {
        backend.ports.sort();
        groups.entry(backend.ports.clone()).or_default().push_back(backend);
    }
    if groups.is_empty() {
        return placeholder(slices);
    }
    let is_wanted = |slice: &&SliceView| groups.contains_key(&slice.ports);
    let gone = slices.iter().filter(|slice| !is_wanted(slice));
    let mut actions: Vec<Action> = gone.map(|slice| Action::Delete { slice: slice.name.clone() }).collect();
    for (ports, wanted) in groups {
        actions.extend(group(&ports, wanted, slices.iter().filter(|slice| slice.ports == ports)));
    }
    actions
}

/// A service without backends keeps one slice, empty, as a sign that it was looked at.
fn placeholder(slices: &[SliceView]) -> Vec<Action> {
    let is_empty = |slice: &SliceView| slice.ports.is_empty() && slice.backends.is_empty();
    let kept = slices.iter().position(is_empty).unwrap_or(0);
    let surplus = slices.iter().enumerate().filter(|(at, _)| *at != kept);
    let mut actions: Vec<Action> = surplus.map(|(_, slice)| Action::Delete { slice: slice.name.clone() }).collect();
    match slices.get(kept) {
        None => actions.push(Action::Create { ports: Vec::new(), backends: Vec::new() }),
        Some(slice) if is_empty(slice) && !slice.stale => {}
        Some(slice) => {
            actions.push(Action::Update { slice: slice.name.clone(), ports: Vec::new(), backends: Vec::new() });
        }
    }
    actions
}

fn group<'a>(
    ports: &[Port],
    mut wanted: VecDeque<Backend>,
    slices: impl Iterator<Item = &'a SliceView>,
) -> Vec<Action> {
    let mut drafts: Vec<Draft> = slices.map(|slice| keep(slice, &mut wanted)).collect();
    // Slices that are written anyway take newcomers first.
    drafts.sort_by_key(|draft| !draft.changed);
    for draft in &mut drafts {
        let room = SLICE_MAX.saturating_sub(draft.backends.len()).min(wanted.len());
        draft.changed |= room > 0;
        draft.backends.extend(wanted.drain(..room));
    }
    let mut actions: Vec<Action> = drafts.into_iter().filter_map(|draft| write(ports, draft)).collect();
    while !wanted.is_empty() {
        let size = wanted.len().min(SLICE_MAX);
        actions.push(Action::Create { ports: ports.to_vec(), backends: wanted.drain(..size).collect() });
    }
    actions
}

fn same_target(a: &Backend, b: &Backend) -> bool {
    a.target == b.target && a.address == b.address
}

/// What stays of a slice; what stays is taken out of `wanted`.
fn keep<'a>(slice: &'a SliceView, wanted: &mut VecDeque<Backend>) -> Draft<'a> {
    let mut backends = Vec::new();
    let mut changed = slice.stale;
    for present in &slice.backends {
        match wanted.iter().position(|wanted| same_target(wanted, present)) {
            Some(at) => {
                let wanted = wanted.remove(at).expect("the position is inside");
                changed |= wanted != *present;
                backends.push(wanted);
            }
            None => changed = true,
        }
    }
    Draft { slice, backends, changed }
}

fn write(ports: &[Port], draft: Draft) -> Option<Action> {
    let slice = draft.slice.name.clone();
    if draft.backends.is_empty() {
        return Some(Action::Delete { slice });
    }
    draft.changed.then(|| Action::Update { slice, ports: ports.to_vec(), backends: draft.backends })
}
