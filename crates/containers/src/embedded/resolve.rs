//! Image and pod joined: what a container is, decided without I/O but the reading of a seccomp profile.

use std::path::PathBuf;

use crate::api::{ContainerConfig, Error, Result, SandboxConfig, Seccomp, SecurityContext};
use crate::image::Manifest;
use crate::plan::{ContainerPlan, Filter, ProcessPlan, User};

/// What containers get when nobody says otherwise.
const DEFAULT_CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Signals by the names that images and pods use.
const SIGNALS: &[&str] = &[
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
const MAX_SIGNAL: i32 = 64;

pub fn plan(
    config: &ContainerConfig,
    sandbox: &SandboxConfig,
    image: &Manifest,
    layers: Vec<PathBuf>,
) -> Result<ContainerPlan> {
    let security = &config.security;
    Ok(ContainerPlan {
        layers,
        process: ProcessPlan {
            args: args(config, image)?,
            env: env(config, sandbox, image),
            working_dir: working_dir(config, image),
            user: user(security, image),
            capabilities: capabilities(security),
            no_new_privs: security.no_new_privs,
            seccomp: filter(security)?,
            oom_score_adj: config.resources.oom_score_adj,
            tty: config.tty,
        },
        mounts: config.mounts.clone(),
        devices: config.devices.clone(),
        privileged: security.privileged,
        read_only_rootfs: security.read_only_rootfs,
        unmasked_proc: security.unmasked_proc,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        stop_signal: stop_signal(config, image)?,
        target_container: config.target_container.clone(),
    })
}

/// The pod's command hides the image's arguments too.
fn args(config: &ContainerConfig, image: &Manifest) -> Result<Vec<String>> {
    let entrypoint = image.config.entrypoint.clone().unwrap_or_default();
    let default_args = image.config.cmd.clone().unwrap_or_default();
    let all = match (config.command.is_empty(), config.args.is_empty()) {
        (false, _) => [&config.command[..], &config.args[..]].concat(),
        (true, false) => [&entrypoint[..], &config.args[..]].concat(),
        (true, true) => [entrypoint, default_args].concat(),
    };
    if all.is_empty() { Err(Error::InvalidArgument("no command specified".to_owned())) } else { Ok(all) }
}

/// Later names win; `PATH` and `HOSTNAME` are always there.
fn env(config: &ContainerConfig, sandbox: &SandboxConfig, image: &Manifest) -> Vec<(String, String)> {
    let mut all = vec![("PATH".to_owned(), DEFAULT_PATH.to_owned()), ("HOSTNAME".to_owned(), sandbox.hostname.clone())];
    if config.tty {
        all.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    let from_image = image.config.env.iter().flatten().filter_map(|pair| pair.split_once('='));
    let from_image = from_image.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for (name, value) in from_image.chain(config.env.iter().cloned()) {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => all.push((name, value)),
        }
    }
    all
}

fn working_dir(config: &ContainerConfig, image: &Manifest) -> PathBuf {
    let own = config.working_dir.as_deref().filter(|path| !path.is_empty());
    let own = own.or(image.config.working_dir.as_deref().filter(|path| !path.is_empty()));
    PathBuf::from("/").join(own.unwrap_or("/"))
}

fn user(security: &SecurityContext, image: &Manifest) -> User {
    let name = match (security.run_as_user, &security.run_as_username) {
        (Some(uid), _) => uid.to_string(),
        (None, Some(name)) => name.clone(),
        (None, None) => image.config.user.clone().unwrap_or_default(),
    };
    User { name, group: security.run_as_group, supplemental_groups: security.supplemental_groups.clone() }
}

/// `ALL` comes first, in adding and in dropping; what is named comes after it.
fn capabilities(security: &SecurityContext) -> Vec<String> {
    let whole = |name: &String| {
        let name = name.to_uppercase();
        if name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
    };
    let add: Vec<String> = security.add_capabilities.iter().map(whole).collect();
    let drop: Vec<String> = security.drop_capabilities.iter().map(whole).collect();
    let is_all = |name: &String| name == "CAP_ALL";
    let everything = || crate::init::CAPABILITIES.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    if security.privileged {
        return everything();
    }
    let mut all = match (add.iter().any(is_all), drop.iter().any(is_all)) {
        (true, _) => everything(),
        (false, true) => Vec::new(),
        (false, false) => DEFAULT_CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect(),
    };
    all.extend(add.into_iter().filter(|name| !is_all(name)));
    all.retain(|name| !drop.contains(name));
    all.sort();
    all.dedup();
    all
}

fn filter(security: &SecurityContext) -> Result<Filter> {
    match &security.seccomp {
        _ if security.privileged => Ok(Filter::Unconfined),
        Seccomp::Unconfined => Ok(Filter::Unconfined),
        Seccomp::RuntimeDefault => Ok(Filter::RuntimeDefault),
        Seccomp::Localhost(path) => std::fs::read_to_string(path).map(Filter::Profile).map_err(|error| {
            Error::InvalidArgument(format!("cannot load seccomp profile \"{}\": {error}", path.display()))
        }),
    }
}

fn stop_signal(config: &ContainerConfig, image: &Manifest) -> Result<i32> {
    let name = config.stop_signal.as_deref().filter(|name| !name.is_empty());
    let name = name.or(image.config.stop_signal.as_deref().filter(|name| !name.is_empty()));
    name.map_or(Ok(libc::SIGTERM), |name| {
        parse_signal(name).ok_or_else(|| Error::InvalidArgument(format!("unknown signal \"{name}\"")))
    })
}

/// `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`.
fn parse_signal(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse() {
        return (1..=MAX_SIGNAL).contains(&number).then_some(number);
    }
    let upper = text.to_uppercase();
    let name = upper.trim_start_matches("SIG");
    if let Some(number) = SIGNALS.iter().position(|known| *known == name) {
        return i32::try_from(number + 1).ok();
    }
    let real_time = if name == "RTMIN" { 0 } else { name.strip_prefix("RTMIN+")?.parse().ok()? };
    Some(34 + real_time).filter(|number| *number <= MAX_SIGNAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Manifest;

    fn image() -> Manifest {
        serde_json::from_str(
            r#"{"config":{"User":"web","Env":["A=1","PATH=/x"],"Entrypoint":["/e"],"Cmd":["c"],"WorkingDir":"w","StopSignal":"SIGRTMIN+3"}}"#,
        )
        .unwrap()
    }

    fn words(text: &str) -> Vec<String> {
        text.split_ascii_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn command_and_args_replace_the_images() {
        let check = |command: &str, arguments: &str, expected: &str| {
            let config =
                ContainerConfig { command: words(command), args: words(arguments), ..ContainerConfig::default() };
            assert_eq!(args(&config, &image()).unwrap(), words(expected));
        };
        check("", "", "/e c");
        check("", "d", "/e d");
        check("/f", "", "/f");
        check("/f", "d", "/f d");
        assert!(args(&ContainerConfig::default(), &Manifest::default()).is_err());
    }

    #[test]
    fn the_pods_environment_wins() {
        let config = ContainerConfig { env: vec![("A".to_owned(), "2".to_owned())], ..ContainerConfig::default() };
        let sandbox = SandboxConfig { hostname: "h".to_owned(), ..SandboxConfig::default() };
        let env = env(&config, &sandbox, &image());
        let text: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(text, ["PATH=/x", "HOSTNAME=h", "A=2"]);
    }

    #[test]
    fn capabilities_are_added_and_dropped() {
        let check = |add: &str, drop: &str| {
            capabilities(&SecurityContext {
                add_capabilities: words(add),
                drop_capabilities: words(drop),
                ..SecurityContext::default()
            })
        };
        assert_eq!(check("", "").len(), 14);
        assert_eq!(check("NET_ADMIN", "ALL"), ["CAP_NET_ADMIN"]);
        assert_eq!(check("ALL", "").len(), 41);
        assert!(!check("ALL", "SYS_ADMIN").contains(&"CAP_SYS_ADMIN".to_owned()));
        assert!(!check("", "cap_kill").contains(&"CAP_KILL".to_owned()));
    }

    #[test]
    fn user_directory_and_signal_come_from_the_image_when_the_pod_is_silent() {
        let config = ContainerConfig::default();
        assert_eq!(user(&config.security, &image()).name, "web");
        assert_eq!(working_dir(&config, &image()), PathBuf::from("/w"));
        assert_eq!(stop_signal(&config, &image()).unwrap(), 37);
        assert_eq!(
            (parse_signal("TERM"), parse_signal("sigint"), parse_signal("9"), parse_signal("SIGWHAT")),
            (Some(15), Some(2), Some(9), None)
        );
    }
}
