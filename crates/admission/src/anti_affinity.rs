//! Where it is switched on, pods keep others away from their node at most.

use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;

use crate::Admit;

const HOST_NAME: &str = "kubernetes.io/hostname";

pub fn validate(admit: &Admit<'_>, pod: Option<&Object>) -> Result<(), ApiError> {
    let writes = matches!(admit.request.operation, Operation::Create | Operation::Update);
    let Some(pod) = pod.filter(|_| writes && admit.is(Resource::PODS, "")) else { return Ok(()) };
    let terms = pod.list(&["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"]);
    let keys = terms.iter().map(|term| term["topologyKey"].as_str().unwrap_or_default());
    match keys.into_iter().find(|key| *key != HOST_NAME) {
        None => Ok(()),
        Some(key) => Err(admit.forbidden(
            Some(pod),
            format!(
                "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOST_NAME} is allowed"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Case;

    #[test]
    fn only_a_node_may_be_kept_free_of_others() {
        let checked = |keys: &[&str]| {
            let terms: Vec<_> = keys.iter().map(|key| json!({"topologyKey": key})).collect();
            let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}});
            let pod = json!({"metadata": {"name": "a"}, "spec": {"affinity": affinity}});
            let pod = Object::from_value(pod).unwrap();
            Case::create("pods", "dev").validate(validate, Some(&pod)).map_err(|error| error.message)
        };
        assert_eq!(checked(&[]), Ok(()));
        assert_eq!(checked(&[HOST_NAME]), Ok(()));
        let why = "pods \"a\" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone \
                   but only key kubernetes.io/hostname is allowed";
        assert_eq!(checked(&[HOST_NAME, "zone"]), Err(why.to_owned()));
    }
}
