//! Which policies have a say in a request: those that match it, once for each matching binding and parameter.
//!
//! upstream: apiserver/pkg/admission/plugin/policy/generic/policy_dispatcher.go

use std::collections::HashMap;
use std::sync::Arc;

use auth::View;
use kinds::KindDef;
use machinery::Object;
use registry::Registry;

use super::frame::{Binding, Frame};
use super::params;
use crate::cached::Item;
use crate::subject::Subject;

/// A policy of either kind.
pub trait Framed {
    fn frame(&self) -> &Frame;
}

/// One evaluation of a policy.
pub struct Invocation<'p, P> {
    pub policy: &'p P,
    pub binding: &'p Binding,
    /// As which the request is seen.
    pub kind: &'static KindDef,
    pub params: Option<Object>,
}

/// Why a policy could not be asked.
pub struct Misconfigured<'p> {
    pub policy: &'p Frame,
    pub binding: Option<&'p Binding>,
    pub why: String,
}

pub type Selected<'p, P> = Vec<Result<Invocation<'p, P>, Misconfigured<'p>>>;

/// In the order of the policies' names and then of the bindings'.
pub async fn select<'p, P: Framed>(
    registry: &Registry,
    view: &dyn View,
    subject: &Subject<'_>,
    policies: &'p [Arc<Item<P>>],
    bindings: &'p [Arc<Item<Binding>>],
) -> Selected<'p, P> {
    let mut by_policy: HashMap<&str, Vec<&Binding>> = HashMap::new();
    for binding in bindings.iter().map(|item| &item.value) {
        by_policy.entry(&binding.policy).or_default().push(binding);
    }
    let mut selected = Vec::new();
    for policy in policies.iter().map(|item| &item.value) {
        if let Some(own) = by_policy.remove(policy.frame().name.as_str()) {
            of_policy(registry, view, subject, policy, own, &mut selected).await;
        }
    }
    selected
}

async fn of_policy<'p, P: Framed>(
    registry: &Registry,
    view: &dyn View,
    subject: &Subject<'_>,
    policy: &'p P,
    bindings: Vec<&'p Binding>,
    selected: &mut Selected<'p, P>,
) {
    let frame = policy.frame();
    let misconfigured = |binding, why| Err(Misconfigured { policy: frame, binding, why });
    let kind = match frame.matching.find(subject, view) {
        Ok(Some(kind)) => kind,
        Ok(None) => return,
        Err(error) => return selected.push(misconfigured(None, error.message)),
    };
    let of_params = match frame.params.as_ref().map(|of| params::kind(registry, of)).transpose() {
        Ok(of_params) => of_params,
        Err(why) => return selected.push(misconfigured(None, why)),
    };
    for binding in bindings {
        match binding.matching.as_ref().map_or(Ok(Some(kind)), |matching| matching.find(subject, view)) {
            Ok(Some(_)) => {}
            Ok(None) => continue,
            Err(error) => {
                selected.push(misconfigured(Some(binding), error.message));
                continue;
            }
        }
        let invocation = |params| Ok(Invocation { policy, binding, kind, params });
        match (of_params, &binding.params) {
            (Some(of_params), Some(reference)) => {
                match params::collect(registry, view, of_params, reference, subject.namespace()).await {
                    Ok(found) => selected.extend(found.into_iter().map(|object| invocation(Some(object)))),
                    Err(why) => selected.push(misconfigured(Some(binding), why)),
                }
            }
            _ => selected.push(invocation(None)),
        }
    }
}

impl<P: Framed> Invocation<'_, P> {
    /// Tells evaluations apart.
    pub fn key(&self) -> String {
        let params = self.params.as_ref().map(|object| format!("{}/{}", object.namespace(), object.name()));
        format!("{}/{}/{}", self.policy.frame().name, self.binding.name, params.unwrap_or_default())
    }
}

impl Misconfigured<'_> {
    pub fn message(&self) -> String {
        let what = if self.binding.is_some() { "binding" } else { "policy" };
        format!("failed to configure {what}: {}", self.why)
    }
}
