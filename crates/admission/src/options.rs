//! What administrators choose: plugins that are on and off, and what some are configured to.
//!
//! upstream: pkg/kubeapiserver/options/admission.go

use std::path::Path;

use auth::KubeconfigUsers;
use serde_json::Value;

use crate::event_rate_limit::Limits;
use crate::pod_node_selector::Selectors;
use crate::pod_toleration_restriction::Tolerations;
use crate::resource_quota::Limited;
use crate::{configuration, pod_security, webhook};

/// Plugins that are off until somebody wants them.
const OPTIONAL: [&str; 12] = [
    "AlwaysAdmit",
    "AlwaysDeny",
    "AlwaysPullImages",
    "DenyServiceExternalIPs",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "LimitPodHardAntiAffinityTopology",
    "NamespaceAutoProvision",
    "NamespaceExists",
    "OwnerReferencesPermissionEnforcement",
    "PodNodeSelector",
    "PodTolerationRestriction",
];
/// Plugins that wait for others, and so are in no list.
const WAITING: [&str; 6] = [
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "NamespaceAutoProvision",
    "ResourceQuota",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
];
/// Checks that upstream keeps elsewhere, where nobody can switch them off.
const ALWAYS: [&str; 3] = ["DRAAdminAccess", "ParamAccess", "RBACEscalation"];

pub struct Options {
    off: Vec<&'static str>,
    pub(crate) pod_security: pod_security::Configuration,
    /// As whom webhooks that mutate are called.
    pub(crate) mutating_users: KubeconfigUsers,
    pub(crate) validating_users: KubeconfigUsers,
    /// What nobody has without a quota that covers it.
    pub(crate) limited: Limited,
    pub(crate) node_selectors: Selectors,
    pub(crate) tolerations: Tolerations,
    pub(crate) event_limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            off: OPTIONAL.to_vec(),
            pod_security: pod_security::Configuration::default(),
            mutating_users: KubeconfigUsers::default(),
            validating_users: KubeconfigUsers::default(),
            limited: Limited::default(),
            node_selectors: Selectors::default(),
            tolerations: Tolerations::default(),
            event_limits: Limits::default(),
        }
    }
}

impl Options {
    /// Names of plugins, and a file with an AdmissionConfiguration. The error is for whoever gave them.
    pub fn new(enable: &[String], disable: &[String], file: Option<&Path>) -> Result<Self, String> {
        let mut options = Self::default();
        let known = |flag: &str, name: &str| {
            let unknown = || format!("{flag}-admission-plugins plugin {name:?} is unknown");
            names().find(|known| *known == name).ok_or_else(unknown)
        };
        for name in enable {
            let name = known("enable", name)?;
            options.off.retain(|off| *off != name);
        }
        for name in disable {
            let name = known("disable", name)?;
            if enable.iter().any(|enabled| enabled == name) {
                return Err(format!("{name} in enable-admission-plugins and disable-admission-plugins overlapped"));
            }
            options.off.push(name);
        }
        if let Some(file) = file {
            let plugins = configuration::read(file).map_err(|why| format!("failed to read plugin config: {why}"))?;
            for (name, own) in plugins {
                options.configure(&name, &own)?;
            }
        }
        if options.is_on(EVENT_RATE_LIMIT) && options.event_limits.is_empty() {
            return Err(broken(EVENT_RATE_LIMIT, "limits: Invalid value: null: must not be empty".to_owned()));
        }
        Ok(options)
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        !self.off.contains(&name)
    }

    /// Plugins that read no configuration do not mind one, nor does upstream one of plugins that it does not know.
    fn configure(&mut self, name: &str, own: &Value) -> Result<(), String> {
        let configured = match name {
            "PodSecurity" => pod_security::Configuration::parse(own).map(|parsed| self.pod_security = parsed),
            "MutatingAdmissionWebhook" => webhook::users(own).map(|users| self.mutating_users = users),
            "ValidatingAdmissionWebhook" => webhook::users(own).map(|users| self.validating_users = users),
            "ResourceQuota" => Limited::parse(own).map(|limited| self.limited = limited),
            "PodNodeSelector" => Selectors::parse(own).map(|selectors| self.node_selectors = selectors),
            "PodTolerationRestriction" => Tolerations::parse(own).map(|tolerations| self.tolerations = tolerations),
            EVENT_RATE_LIMIT => Limits::parse(own).map(|limits| self.event_limits = limits),
            _ => Ok(()),
        };
        configured.map_err(|why| broken(name, why))
    }
}

const EVENT_RATE_LIMIT: &str = "EventRateLimit";

fn broken(name: &str, why: String) -> String {
    format!("couldn't init admission plugin {name:?}: {why}")
}

/// What can be switched on and off.
fn names() -> impl Iterator<Item = &'static str> {
    let listed = crate::MUTATING.iter().map(|(name, _)| *name).chain(crate::VALIDATING.iter().map(|(name, _)| *name));
    listed.chain(WAITING).filter(|name| !ALWAYS.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(enable: &str, disable: &str) -> Result<Options, String> {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Options::new(&list(enable), &list(disable), None)
    }

    #[test]
    fn plugins_are_switched_by_their_names() {
        let chosen = options("AlwaysPullImages NodeRestriction", "LimitRanger ResourceQuota").ok().unwrap();
        for (name, on) in [
            ("AlwaysPullImages", true),
            ("DenyServiceExternalIPs", false),
            ("NodeRestriction", true),
            ("LimitRanger", false),
            ("ResourceQuota", false),
            ("Priority", true),
        ] {
            assert_eq!(chosen.is_on(name), on, "{name}");
        }
        for name in OPTIONAL.iter().filter(|name| **name != EVENT_RATE_LIMIT) {
            assert!(options(name, "").is_ok(), "{name}");
        }
        for (enable, disable, expected) in [
            ("Nothing", "", "enable-admission-plugins plugin \"Nothing\" is unknown"),
            ("", "RBACEscalation", "disable-admission-plugins plugin \"RBACEscalation\" is unknown"),
            ("Priority", "Priority", "Priority in enable-admission-plugins and disable-admission-plugins overlapped"),
            (
                "EventRateLimit",
                "",
                "couldn't init admission plugin \"EventRateLimit\": limits: Invalid value: null: must not be empty",
            ),
        ] {
            assert_eq!(options(enable, disable).err().as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_a_plugin_can_not_read_stops_the_server() {
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("admission.yaml");
        for (plugin, why) in [
            ("{name: Nothing, configuration: {}}", ""),
            (
                "{name: ValidatingAdmissionWebhook, configuration: {apiVersion: v1, kind: Pod}}",
                "couldn't init admission plugin \"ValidatingAdmissionWebhook\": no kind \"Pod\" is registered for version \"v1\"",
            ),
            (
                "{name: MutatingAdmissionWebhook, configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: here}}",
                "couldn't init admission plugin \"MutatingAdmissionWebhook\": kubeConfigFile: Invalid value: \"here\": must be an absolute file path",
            ),
            (
                "{name: ResourceQuota, configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: ResourceQuotaConfiguration, limitedResources: [{}]}}",
                "couldn't init admission plugin \"ResourceQuota\": limitedResources[0].resource: Required value",
            ),
            (
                "{name: PodSecurity, configuration: {apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {warn: none}}}",
                "couldn't init admission plugin \"PodSecurity\": defaults.warn: Invalid value: \"none\": must be one of privileged, baseline, restricted",
            ),
            ("{name: AlwaysPullImages, configuration: {any: thing}}", ""),
            ("{name: ResourceQuota}", ""),
        ] {
            let text = format!(
                "{{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{plugin}]}}"
            );
            std::fs::write(&file, text).unwrap();
            let found = Options::new(&[], &[], Some(&file)).err().unwrap_or_default();
            assert_eq!(found, why, "{plugin}");
        }
        let missing = Options::new(&[], &[], Some(Path::new("/none"))).err().unwrap();
        assert!(missing.starts_with("failed to read plugin config: unable to read admission control"), "{missing}");
    }
}
