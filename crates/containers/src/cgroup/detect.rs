//! Which hierarchies there are, from `/proc/self/mountinfo`.

use std::path::PathBuf;

use super::Cgroups;

/// v1 options that are no controllers.
const MOUNT_OPTIONS: &[&str] = &["rw", "ro", "xattr", "clone_children", "noprefix"];

pub fn parse(mountinfo: &str) -> Cgroups {
    let mut cgroups = Cgroups::default();
    for line in mountinfo.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        let mut mount_fields = mount.split(' ').skip(3);
        // A bind mount of a part of a hierarchy is not its root.
        let (Some("/"), Some(at)) = (mount_fields.next(), mount_fields.next()) else { continue };
        let mut fields = filesystem.split(' ');
        match (fields.next(), fields.nth(1)) {
            (Some("cgroup2"), _) => {
                cgroups.unified.get_or_insert_with(|| PathBuf::from(at));
            }
            (Some("cgroup"), Some(options)) => {
                for controller in options
                    .split(',')
                    .filter(|option| !MOUNT_OPTIONS.contains(option) && !option.starts_with("release_agent"))
                {
                    cgroups.v1.entry(controller.to_owned()).or_insert_with(|| PathBuf::from(at));
                }
            }
            _ => {}
        }
    }
    cgroups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pure_and_hybrid_hosts_are_told_apart() {
        let pure = parse("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
        assert!(pure.is_unified("memory"));
        let hybrid = parse(
            "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
             33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n",
        );
        assert_eq!(hybrid.v1_dir("cpuacct", "a").unwrap(), PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/a"));
        assert_eq!(hybrid.unified_dir("a").unwrap(), PathBuf::from("/sys/fs/cgroup/unified/a"));
        assert!(hybrid.v1.contains_key("name=systemd") && !hybrid.is_unified("cpu") && hybrid.is_unified("memory"));
    }
}
