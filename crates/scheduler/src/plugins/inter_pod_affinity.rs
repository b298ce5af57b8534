//! InterPodAffinity: pods that want to be near others, or far from them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PodAffinityTerm;
use machinery::selector::LabelSelector;

use super::{Filtered, MAX_SCORE};
use crate::nodes::{NodeInfo, Snapshot};
use crate::pods::{PodInfo, selector};

const NAME: &str = "InterPodAffinity";

/// A label's key and value: one domain of a topology.
type Domain = (String, String);

struct Term {
    selector: LabelSelector,
    namespaces: BTreeSet<String>,
    all_namespaces: bool,
    key: String,
}

impl Term {
    /// A term of `pod`; without namespaces it means the pod's own.
    fn new(term: &PodAffinityTerm, pod: &PodInfo) -> Self {
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        // Selecting namespaces by label needs their labels; the empty selector means all of them.
        let all_namespaces = term.namespace_selector.is_some();
        if namespaces.is_empty() && !all_namespaces {
            namespaces.insert(pod.namespace().to_owned());
        }
        Self { selector: term_selector(term, pod), namespaces, all_namespaces, key: term.topology_key.clone() }
    }

    fn matches(&self, pod: &PodInfo) -> bool {
        (self.all_namespaces || self.namespaces.contains(pod.namespace())) && self.selector.matches_map(pod.labels())
    }

    fn domain(&self, node: &NodeInfo) -> Option<Domain> {
        Some((self.key.clone(), node.labels().get(&self.key)?.clone()))
    }
}

fn term_selector(term: &PodAffinityTerm, pod: &PodInfo) -> LabelSelector {
    let Some(mut narrowed) = term.label_selector.clone() else { return LabelSelector::nothing() };
    for key in term.match_label_keys.iter().flatten() {
        if let Some(value) = pod.labels().get(key) {
            narrowed.match_labels.get_or_insert_default().insert(key.clone(), value.clone());
        }
    }
    selector(Some(&narrowed))
}

fn required_affinity(pod: &PodInfo) -> Vec<Term> {
    let affinity = pod.spec().affinity.as_ref().and_then(|of| of.pod_affinity.as_ref());
    let terms = affinity.and_then(|of| of.required_during_scheduling_ignored_during_execution.as_ref());
    terms.into_iter().flatten().map(|term| Term::new(term, pod)).collect()
}

fn required_anti_affinity(pod: &PodInfo) -> Vec<Term> {
    let affinity = pod.spec().affinity.as_ref().and_then(|of| of.pod_anti_affinity.as_ref());
    let terms = affinity.and_then(|of| of.required_during_scheduling_ignored_during_execution.as_ref());
    terms.into_iter().flatten().map(|term| Term::new(term, pod)).collect()
}

/// Preferred terms, near ones with their weight, far ones with its negative.
fn preferred(pod: &PodInfo) -> Vec<(i64, Term)> {
    let affinity = pod.spec().affinity.as_ref();
    let near = affinity.and_then(|of| of.pod_affinity.as_ref());
    let near = near.and_then(|of| of.preferred_during_scheduling_ignored_during_execution.as_ref());
    let far = affinity.and_then(|of| of.pod_anti_affinity.as_ref());
    let far = far.and_then(|of| of.preferred_during_scheduling_ignored_during_execution.as_ref());
    let near = near.into_iter().flatten().map(|of| (i64::from(of.weight), Term::new(&of.pod_affinity_term, pod)));
    let far = far.into_iter().flatten().map(|of| (-i64::from(of.weight), Term::new(&of.pod_affinity_term, pod)));
    near.chain(far).collect()
}

pub struct Filter {
    near: Vec<Term>,
    far: Vec<Term>,
    /// For each term of `near`, the domains with a pod that it selects.
    near_domains: Vec<BTreeSet<Domain>>,
    far_domains: BTreeSet<Domain>,
    /// Domains whose pods keep this one away.
    forbidden: BTreeSet<Domain>,
    /// The first pod of a group that wants to be together may start anywhere.
    first_of_its_kind: bool,
}

impl Filter {
    pub fn new(pod: &PodInfo, snapshot: &Snapshot) -> Self {
        let (near, far) = (required_affinity(pod), required_anti_affinity(pod));
        let mut filter = Self {
            near_domains: vec![BTreeSet::new(); near.len()],
            far_domains: BTreeSet::new(),
            forbidden: BTreeSet::new(),
            first_of_its_kind: false,
            near,
            far,
        };
        // Looking at every pod is for those alone that have terms.
        let others = (!filter.near.is_empty() || !filter.far.is_empty()).then(|| snapshot.pods());
        for (node, other) in others.into_iter().flatten() {
            for (index, term) in filter.near.iter().enumerate().filter(|(_, term)| term.matches(other)) {
                filter.near_domains[index].extend(term.domain(node));
            }
            for term in filter.far.iter().filter(|term| term.matches(other)) {
                filter.far_domains.extend(term.domain(node));
            }
        }
        for (node, other) in snapshot.pods_with_affinity() {
            let against = required_anti_affinity(other).into_iter().filter(|term| term.matches(pod));
            filter.forbidden.extend(against.filter_map(|term| term.domain(node)));
        }
        let nowhere = filter.near_domains.iter().all(BTreeSet::is_empty);
        filter.first_of_its_kind = nowhere && filter.near.iter().all(|term| term.matches(pod));
        filter
    }

    pub fn run(&self, node: &NodeInfo) -> Filtered {
        for (term, domains) in self.near.iter().zip(&self.near_domains) {
            let domain = term.domain(node);
            let met = domain.is_some_and(|domain| self.first_of_its_kind || domains.contains(&domain));
            if !met {
                return Filtered::never(NAME, "node(s) didn't match pod affinity rules");
            }
        }
        if self.far.iter().filter_map(|term| term.domain(node)).any(|domain| self.far_domains.contains(&domain)) {
            return Filtered::fails(NAME, "node(s) didn't match pod anti-affinity rules");
        }
        let labels = node.labels();
        if self.forbidden.iter().any(|(key, value)| labels.get(key) == Some(value)) {
            let reason = "node(s) didn't satisfy existing pods anti-affinity rules";
            return Filtered::fails(NAME, reason);
        }
        Filtered::Fits
    }
}

/// Preferences of the pod itself and of those that run already.
pub fn scores(pod: &PodInfo, nodes: &[&NodeInfo], snapshot: &Snapshot) -> Vec<i64> {
    let own = preferred(pod);
    let mut domains: BTreeMap<Domain, i64> = BTreeMap::new();
    let mut weigh = |weight: i64, term: &Term, node: &NodeInfo| {
        if let Some(domain) = term.domain(node) {
            *domains.entry(domain).or_default() += weight;
        }
    };
    let others = (!own.is_empty()).then(|| snapshot.pods());
    for (node, other) in others.into_iter().flatten() {
        own.iter().filter(|(_, term)| term.matches(other)).for_each(|(weight, term)| weigh(*weight, term, node));
    }
    for (node, other) in snapshot.pods_with_affinity() {
        let theirs = preferred(other);
        theirs.iter().filter(|(_, term)| term.matches(pod)).for_each(|(weight, term)| weigh(*weight, term, node));
    }
    if domains.is_empty() {
        return vec![0; nodes.len()];
    }
    let score = |node: &&NodeInfo| {
        let labels = node.labels();
        let here = domains.iter().filter(|((key, value), _)| labels.get(key) == Some(value));
        here.map(|(_, weight)| weight).sum::<i64>()
    };
    let raw: Vec<i64> = nodes.iter().map(score).collect();
    let (low, high) = (raw.iter().copied().min().unwrap_or(0), raw.iter().copied().max().unwrap_or(0));
    raw.iter().map(|of| if high == low { 0 } else { MAX_SCORE * (of - low) / (high - low) }).collect()
}
