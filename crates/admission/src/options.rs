//! What administrators choose: plugins that are on and off, and what some are configured to.
//!
//! upstream: apiserver/pkg/admission/config.go, pkg/kubeapiserver/options/admission.go

use std::path::Path;

use machinery::decode::parse_yaml;
use serde_json::Value;

use crate::pod_security;
use crate::resource_quota::Limited;

/// Plugins that are off until somebody wants them.
const OPTIONAL: [&str; 2] = ["AlwaysPullImages", "DenyServiceExternalIPs"];
/// Plugins that wait for others, and so are in no list.
const WAITING: [&str; 5] = [
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ResourceQuota",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
];
/// Checks that upstream keeps elsewhere, where nobody can switch them off.
const ALWAYS: [&str; 3] = ["CertificateRequester", "DRAAdminAccess", "RBACEscalation"];

const CONFIGURATION: (&str, &str) = ("apiserver.config.k8s.io/v1", "AdmissionConfiguration");
const POD_SECURITY: &str = "PodSecurity";
const QUOTA: &str = "ResourceQuota";

pub struct Options {
    off: Vec<&'static str>,
    pub(crate) pod_security: pod_security::Configuration,
    pub(crate) limited: Limited,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            off: OPTIONAL.to_vec(),
            pod_security: pod_security::Configuration::default(),
            limited: Limited::default(),
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
            options.configure(file)?;
        }
        Ok(options)
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        !self.off.contains(&name)
    }

    fn configure(&mut self, file: &Path) -> Result<(), String> {
        let config = read(file)?;
        let (api_version, kind) = CONFIGURATION;
        if config["apiVersion"] != api_version || config["kind"] != kind {
            return Err(format!("{}: it must be of kind {kind} in version {api_version}", file.display()));
        }
        for plugin in config["plugins"].as_array().into_iter().flatten() {
            let own = || configuration(plugin, file);
            let wrong = |name: &'static str| move |why: String| format!("{}: {name}: {why}", file.display());
            match plugin["name"].as_str().unwrap_or_default() {
                POD_SECURITY => {
                    let parsed = pod_security::Configuration::parse(&own()?);
                    self.pod_security = parsed.map_err(wrong(POD_SECURITY))?;
                }
                QUOTA => self.limited = Limited::parse(&own()?).map_err(wrong(QUOTA))?,
                name => return Err(format!("{}: the plugin {name:?} can not be configured", file.display())),
            }
        }
        Ok(())
    }
}

/// What can be switched on and off.
fn names() -> impl Iterator<Item = &'static str> {
    let listed = crate::MUTATING.iter().map(|(name, _)| *name).chain(crate::VALIDATING.iter().map(|(name, _)| *name));
    listed.chain(WAITING).filter(|name| !ALWAYS.contains(name))
}

/// A plugin's own configuration: beside its name, or in a file named there.
fn configuration(plugin: &Value, file: &Path) -> Result<Value, String> {
    match plugin["path"].as_str().filter(|path| !path.is_empty()) {
        Some(path) => read(&file.parent().unwrap_or(Path::new("")).join(path)),
        None => Ok(plugin["configuration"].clone()),
    }
}

fn read(file: &Path) -> Result<Value, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let parsed = parse_yaml(&bytes).map_err(|error| format!("{}: {}", file.display(), error.message))?;
    Ok(parsed.0)
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
        for (enable, disable, expected) in [
            ("Nothing", "", "enable-admission-plugins plugin \"Nothing\" is unknown"),
            ("", "RBACEscalation", "disable-admission-plugins plugin \"RBACEscalation\" is unknown"),
            ("Priority", "Priority", "Priority in enable-admission-plugins and disable-admission-plugins overlapped"),
        ] {
            assert_eq!(options(enable, disable).err().as_deref(), Some(expected));
        }
    }
}
