//! Which resources a rule is for, told from the keys that objects lie under in the store.

/// Groups that are named by one word, which sets them apart from the resources of the core group.
fn is_group(segment: &str) -> bool {
    segment.contains('.') || kinds::all().iter().any(|kind| kind.group == segment)
}

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
        let Some(rest) = key.strip_prefix(registry::keys::ROOT) else { return false };
        let mut segments = rest.split('/');
        let first = segments.next().unwrap_or_default();
        // A core resource, named as such, needs no look at the groups.
        if self.0.iter().any(|pattern| pattern.group.is_empty() && pattern.resource == first) {
            return true;
        }
        if self.0.iter().all(|pattern| pattern.group.is_empty() && pattern.resource != "*") {
            return false;
        }
        let (group, resource) =
            if is_group(first) { (first, segments.next().unwrap_or_default()) } else { ("", first) };
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
            ("deployments.apps", "/registry/apps/deployments/a/b"),
            ("roles.rbac", "/registry/rbac.authorization.k8s.io/roles/a/b"),
        ];
        let table = [
            ("secrets", "secrets"),
            ("deployments.apps", "deployments.apps"),
            ("*.apps", "deployments.apps"),
            ("*.", "secrets pods"),
            ("*.*", "secrets pods deployments.apps roles.rbac"),
            ("roles.rbac.authorization.k8s.io", "roles.rbac"),
            ("widgets.example.com", ""),
        ];
        for (names, expected) in table {
            let resources = Resources::parse(names.split(' '));
            let found: Vec<&str> =
                keys.iter().filter(|(_, key)| resources.contain(key)).map(|(name, _)| *name).collect();
            assert_eq!(found.join(" "), expected, "{names}");
        }
    }
}
