//! Seccomp filters from OCI profiles, the default one included (`default.json`, the rules container runtimes agree on).
//!
//! One OCI profile knows many actions, one BPF filter here knows two. The kernel takes the strictest answer of all filters
//! that are loaded, so a profile becomes a base filter with its default action, which lets through what any rule names, and one
//! more filter for each other action.

mod syscalls;

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde::Deserialize;

const DEFAULT_PROFILE: &str = include_str!("default.json");
/// `EPERM`, when a profile does not say what to answer.
const DEFAULT_ERRNO: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("seccomp profile: {0}")]
    Json(#[from] serde_json::Error),
    #[error("seccomp profile: unknown {0}")]
    Unknown(String),
    #[error("seccomp profile: {0}")]
    Compile(#[from] seccompiler::BackendError),
}

/// An OCI seccomp profile, with the conditions on capabilities that Docker's form of it adds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Conditions,
    #[serde(default)]
    excludes: Conditions,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Debug, Default, Deserialize)]
struct Conditions {
    #[serde(default)]
    caps: Vec<String>,
}

/// The filters of the default profile for a process with these capabilities, in loading order.
pub fn default_filters(capabilities: &[String]) -> Result<Vec<BpfProgram>, ProfileError> {
    filters(DEFAULT_PROFILE, capabilities)
}

/// The filters of an OCI profile, in loading order.
pub fn filters(profile: &str, capabilities: &[String]) -> Result<Vec<BpfProgram>, ProfileError> {
    let profile: Profile = serde_json::from_str(profile)?;
    let default = action(&profile.default_action, profile.default_errno_ret)?;
    let mut named: Rules = BTreeMap::new();
    let mut others: Vec<(SeccompAction, Rules)> = Vec::new();
    for rule in profile.syscalls.iter().filter(|rule| rule.applies(capabilities)) {
        let action = action(&rule.action, rule.errno_ret)?;
        if action == default {
            continue;
        }
        rule.add_to(&mut named)?;
        if action != SeccompAction::Allow {
            rule.add_to(rules_for(&mut others, action))?;
        }
    }
    let mut programs = Vec::new();
    for (action, rules) in others {
        programs.push(compile(rules, SeccompAction::Allow, action)?);
    }
    // Last, for it may refuse the loading of more.
    if default != SeccompAction::Allow {
        programs.push(compile(named, default, SeccompAction::Allow)?);
    }
    Ok(programs)
}

/// Rules by system call; no rule means: whatever the arguments.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules_for(all: &mut Vec<(SeccompAction, Rules)>, action: SeccompAction) -> &mut Rules {
    let index = all.iter().position(|(known, _)| *known == action).unwrap_or_else(|| {
        all.push((action, Rules::new()));
        all.len() - 1
    });
    &mut all[index].1
}

impl Rule {
    fn applies(&self, capabilities: &[String]) -> bool {
        let has = |name: &String| capabilities.contains(name);
        self.includes.caps.iter().all(has) && !self.excludes.caps.iter().any(has)
    }

    fn add_to(&self, rules: &mut Rules) -> Result<(), ProfileError> {
        let conditions: Vec<SeccompCondition> =
            self.args.iter().flatten().map(Argument::condition).collect::<Result<_, _>>()?;
        // Calls that this architecture does not have need no rule.
        for number in self.names.iter().filter_map(|name| syscalls::number(name)) {
            let unconditional = rules.get(&number).is_some_and(Vec::is_empty);
            let known = rules.entry(number).or_default();
            if conditions.is_empty() {
                known.clear();
            } else if !unconditional {
                known.push(SeccompRule::new(conditions.clone())?);
            }
        }
        Ok(())
    }
}

impl Argument {
    fn condition(&self) -> Result<SeccompCondition, ProfileError> {
        let (operator, value) = match self.op.as_str() {
            "SCMP_CMP_NE" => (SeccompCmpOp::Ne, self.value),
            "SCMP_CMP_LT" => (SeccompCmpOp::Lt, self.value),
            "SCMP_CMP_LE" => (SeccompCmpOp::Le, self.value),
            "SCMP_CMP_EQ" => (SeccompCmpOp::Eq, self.value),
            "SCMP_CMP_GE" => (SeccompCmpOp::Ge, self.value),
            "SCMP_CMP_GT" => (SeccompCmpOp::Gt, self.value),
            "SCMP_CMP_MASKED_EQ" => (SeccompCmpOp::MaskedEq(self.value), self.value_two),
            other => return Err(ProfileError::Unknown(format!("operator {other}"))),
        };
        Ok(SeccompCondition::new(self.index, SeccompCmpArgLen::Qword, operator, value)?)
    }
}

fn action(name: &str, errno: Option<u32>) -> Result<SeccompAction, ProfileError> {
    Ok(match name {
        "SCMP_ACT_ALLOW" => SeccompAction::Allow,
        "SCMP_ACT_ERRNO" => SeccompAction::Errno(errno.unwrap_or(DEFAULT_ERRNO)),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => SeccompAction::KillThread,
        "SCMP_ACT_KILL_PROCESS" => SeccompAction::KillProcess,
        "SCMP_ACT_LOG" => SeccompAction::Log,
        "SCMP_ACT_TRAP" => SeccompAction::Trap,
        "SCMP_ACT_TRACE" => SeccompAction::Trace(errno.unwrap_or(DEFAULT_ERRNO)),
        other => return Err(ProfileError::Unknown(format!("action {other}"))),
    })
}

fn compile(rules: Rules, mismatch: SeccompAction, matched: SeccompAction) -> Result<BpfProgram, ProfileError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, mismatch, matched, architecture)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_compiles_with_and_without_capabilities() {
        let plain = default_filters(&[]).unwrap();
        assert_eq!(plain.len(), 2, "ENOSYS for clone3, and the base");
        let admin = default_filters(&["CAP_SYS_ADMIN".to_owned()]).unwrap();
        assert_eq!(admin.len(), 1);
        assert!(plain[1].len() < 4096, "the kernel takes no longer filter: {}", plain[1].len());
    }

    #[test]
    fn a_profile_may_allow_by_default_and_refuse_by_name() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"},{"names":["chroot"],"action":"SCMP_ACT_KILL"}]}"#;
        assert_eq!(filters(text, &[]).unwrap().len(), 2);
    }

    #[test]
    fn what_a_profile_gets_wrong_is_named() {
        let error = filters(r#"{"defaultAction":"SCMP_ACT_DANCE"}"#, &[]).unwrap_err();
        assert_eq!(error.to_string(), "seccomp profile: unknown action SCMP_ACT_DANCE");
    }
}
