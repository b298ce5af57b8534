//! Where it is switched on, images are pulled for every container: who has no right to an image can not use one that
//! others left on the node.

use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;
use serde_json::json;

use crate::Admit;
use crate::pods::{CONTAINER_LISTS, for_each_container};

pub fn mutate(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    let writes = matches!(admit.request.operation, Operation::Create | Operation::Update);
    if writes && (admit.is(Resource::PODS, "") || admit.is(Resource::PODS, "ephemeralcontainers")) {
        for_each_container(pod, &CONTAINER_LISTS, |container| container["imagePullPolicy"] = json!("Always"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    #[test]
    fn all_containers_pull() {
        let pod = r#"{"spec":{"initContainers":[{"name":"i"}],"containers":[{"name":"c","imagePullPolicy":"Never"}]}}"#;
        let made = Case::create("pods", "dev").mutate(mutate, object(pod)).unwrap();
        for list in ["initContainers", "containers"] {
            assert_eq!(made.list(&["spec", list])[0]["imagePullPolicy"], "Always");
        }
    }
}
