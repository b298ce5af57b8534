//! Sets of fields, kept as a tree.

use std::cmp::Ordering;

use super::path::{Element, Path};

/// Some fields of an object.
///
/// That a field is in the set says nothing about what is below or above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Sorted by element; each is a member or has children.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub element: Element,
    pub member: bool,
    pub children: Set,
}

impl Set {
    /// The set of these paths of field names.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert(&Element::fields(path));
        }
        set
    }

    /// The set of these nodes, in whatever order they come and however often.
    pub fn of_nodes(mut nodes: Vec<Node>) -> Self {
        nodes.sort_by(|a, b| a.element.cmp(&b.element));
        let mut set = Self::default();
        nodes.into_iter().for_each(|node| set.add(node.element, node.member, node.children));
        set
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The whole object is no field: an empty path adds nothing.
    pub fn insert(&mut self, path: &Path) {
        match path {
            [] => {}
            [last] => self.add(last.clone(), true, Self::default()),
            [first, rest @ ..] => {
                let at = self.place(first);
                self.nodes[at].children.insert(rest);
            }
        }
    }

    /// Adds an element, what is below it, or both; nothing when it is neither a member nor has children.
    pub fn add(&mut self, element: Element, member: bool, children: Self) {
        if !member && children.is_empty() {
            return;
        }
        let node = Node { element, member, children };
        match self.nodes.last().map(|last| last.element.cmp(&node.element)) {
            None | Some(Ordering::Less) => self.nodes.push(node),
            _ => match self.find(&node.element) {
                Ok(at) => {
                    let held = &mut self.nodes[at];
                    held.member |= node.member;
                    held.children = held.children.union(&node.children);
                }
                Err(at) => self.nodes.insert(at, node),
            },
        }
    }

    fn find(&self, element: &Element) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.element.cmp(element))
    }

    /// Where the element is, made if it is absent; the caller gives it children.
    fn place(&mut self, element: &Element) -> usize {
        self.find(element).unwrap_or_else(|at| {
            self.nodes.insert(at, Node { element: element.clone(), member: false, children: Self::default() });
            at
        })
    }

    pub fn get(&self, element: &Element) -> Option<&Node> {
        self.find(element).ok().map(|at| &self.nodes[at])
    }

    pub fn has(&self, path: &Path) -> bool {
        match path {
            [] => false,
            [last] => self.get(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.get(first).is_some_and(|node| node.children.has(rest)),
        }
    }

    pub fn union(&self, other: &Self) -> Self {
        self.join(other, |pair| match pair {
            Pair::Left(node) | Pair::Right(node) => Some(node.clone()),
            Pair::Both(a, b) => Some(a.with(a.member || b.member, a.children.union(&b.children))),
        })
    }

    /// The union of them all, in halves so that none is gone through more often than need be.
    pub fn union_all(mut sets: Vec<Self>) -> Self {
        while sets.len() > 1 {
            sets = sets.chunks(2).map(|pair| pair[1..].iter().fold(pair[0].clone(), |a, b| a.union(b))).collect();
        }
        sets.pop().unwrap_or_default()
    }

    pub fn intersection(&self, other: &Self) -> Self {
        self.join(other, |pair| match pair {
            Pair::Left(_) | Pair::Right(_) => None,
            Pair::Both(a, b) => Some(a.with(a.member && b.member, a.children.intersection(&b.children))),
        })
    }

    /// What is not in `other`; what is below a field of `other` stays.
    pub fn difference(&self, other: &Self) -> Self {
        self.join(other, |pair| match pair {
            Pair::Left(node) => Some(node.clone()),
            Pair::Right(_) => None,
            Pair::Both(a, b) => Some(a.with(a.member && !b.member, a.children.difference(&b.children))),
        })
    }

    /// What is neither in `other` nor below a field of `other`.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.join(other, |pair| match pair {
            Pair::Left(node) => Some(node.clone()),
            Pair::Right(_) => None,
            Pair::Both(_, b) if b.member => None,
            Pair::Both(a, b) => Some(a.with(a.member, a.children.recursive_difference(&b.children))),
        })
    }

    /// What lies on one of `paths` or below it; `*` stands for any element.
    pub fn within(&self, paths: &[&[&str]]) -> Self {
        let nodes = self.nodes.iter().filter_map(|node| {
            let matches = |path: &&[&str]| path[0] == "*" || node.element == Element::field(path[0]);
            let below: Vec<&[&str]> = paths.iter().copied().filter(matches).map(|path| &path[1..]).collect();
            match () {
                () if below.is_empty() => None,
                () if below.iter().any(|path| path.is_empty()) => Some(node.clone()),
                () => Some(node.with(node.member, node.children.within(&below))),
            }
        });
        Self { nodes: nodes.filter(|node| node.member || !node.children.is_empty()).collect() }
    }

    /// Goes through both sets in their order.
    fn join(&self, other: &Self, mut each: impl FnMut(Pair<'_>) -> Option<Node>) -> Self {
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        let mut nodes = Vec::with_capacity(self.nodes.len());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return Self { nodes },
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.element.cmp(&b.element),
            };
            let a = if order.is_le() { left.next() } else { None };
            let b = if order.is_ge() { right.next() } else { None };
            let node = match (a, b) {
                (Some(a), Some(b)) => each(Pair::Both(a, b)),
                (Some(a), None) => each(Pair::Left(a)),
                (None, Some(b)) => each(Pair::Right(b)),
                (None, None) => None,
            };
            nodes.extend(node.filter(|node| node.member || !node.children.is_empty()));
        }
    }

    /// The members: those of one level before those below them.
    pub fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        for node in self.nodes.iter().filter(|node| node.member) {
            paths.push([prefix.as_slice(), std::slice::from_ref(&node.element)].concat());
        }
        for node in &self.nodes {
            prefix.push(node.element.clone());
            node.children.collect(prefix, paths);
            prefix.pop();
        }
    }
}

impl Node {
    fn with(&self, member: bool, children: Set) -> Self {
        Self { element: self.element.clone(), member, children }
    }
}

enum Pair<'a> {
    Left(&'a Node),
    Right(&'a Node),
    Both(&'a Node, &'a Node),
}
