//! Where it is switched on, Services take no new external addresses.

use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;

use crate::Admit;

pub fn validate(admit: &Admit<'_>, service: Option<&Object>) -> Result<(), ApiError> {
    let writes = matches!(admit.request.operation, Operation::Create | Operation::Update);
    let Some(service) = service.filter(|_| writes && admit.is(Resource::SERVICES, "")) else { return Ok(()) };
    let held = admit.request.old.map_or(&[][..], |old| old.list(&["spec", "externalIPs"]));
    if service.list(&["spec", "externalIPs"]).iter().all(|address| held.contains(address)) {
        return Ok(());
    }
    Err(admit.forbidden(Some(service), "Use of external IPs is denied by admission control"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    #[test]
    fn addresses_may_go_and_none_may_come() {
        let service = |ips: &str| object(&format!(r#"{{"metadata":{{"name":"s"}},"spec":{{"externalIPs":{ips}}}}}"#));
        let update = |old: &str, new: &str| {
            Case::update("services", "dev", service(old)).validate(validate, Some(&service(new)))
        };
        assert_eq!(update(r#"["1.1.1.1","2.2.2.2"]"#, r#"["2.2.2.2"]"#), Ok(()));
        let error = update(r#"["1.1.1.1"]"#, r#"["1.1.1.1","2.2.2.2"]"#).unwrap_err();
        assert_eq!(error.message, "services \"s\" is forbidden: Use of external IPs is denied by admission control");
        assert!(Case::create("services", "dev").validate(validate, Some(&service(r#"["1.1.1.1"]"#))).is_err());
    }
}
