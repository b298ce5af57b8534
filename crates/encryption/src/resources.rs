//! Which resources a rule is for, told from the keys that objects lie under in the store.

/// `secrets`, `deployments.apps`, `*.apps`, `*.` (the core group) or `*.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    resource: String,
    group: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resources(Vec<Pattern>);

impl Resources {
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let split = |name: &'a str| name.split_once('.').unwrap_or((name, ""));
        let pattern = |(resource, group): (&str, &str)| Pattern { resource: resource.into(), group: group.into() };
        Self(names.into_iter().map(split).map(pattern).collect())
    }

    /// Whether what lies under this key is meant.
    pub fn contain(&self, key: &str) -> bool {
        let Some((group, resource)) = registry::keys::resource_of(key) else { return false };
        self.0.iter().any(|pattern| pattern.matches(group, resource))
    }
}

impl Pattern {
    fn matches(&self, group: &str, resource: &str) -> bool {
        (self.group == "*" || self.group == group) && (self.resource == "*" || self.resource == resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_wildcards_mean_resources() {
        let keys = [
            ("secrets", "/registry/secrets/a/b"),
            ("pods", "/registry/pods/a/b"),
            ("deployments.apps", "/registry/deployments/a/b"),
            ("roles.rbac", "/registry/roles/a/b"),
            ("widgets.example.com", "/registry/example.com/widgets/a/b"),
        ];
        let table = [
            ("secrets", "secrets"),
            ("deployments.apps", "deployments.apps"),
            ("*.apps", "deployments.apps"),
            ("*.", "secrets pods"),
            ("*.*", "secrets pods deployments.apps roles.rbac widgets.example.com"),
            ("roles.rbac.authorization.k8s.io", "roles.rbac"),
            ("widgets.example.com", "widgets.example.com"),
        ];
        for (names, expected) in table {
            let resources = Resources::parse(names.split(' '));
            let found: Vec<&str> =
                keys.iter().filter(|(_, key)| resources.contain(key)).map(|(name, _)| *name).collect();
            assert_eq!(found.join(" "), expected, "{names}");
        }
    }
}
