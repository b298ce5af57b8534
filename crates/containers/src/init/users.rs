//! Users and groups, from the container's own `/etc/passwd` and `/etc/group`.

use std::fs;
use std::path::Path;

use crate::plan::User;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Looks the user up below `root`. Numbers need no entry, names do.
pub fn resolve(user: &User, root: &Path) -> Result<Resolved, String> {
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
    let group = fs::read_to_string(root.join("etc/group")).unwrap_or_default();
    lookup(user, &passwd, &group)
}

fn lookup(user: &User, passwd: &str, group: &str) -> Result<Resolved, String> {
    let (name, group_name) = user.name.split_once(':').unwrap_or((&user.name, ""));
    let name = if name.is_empty() { "0" } else { name };
    let account = accounts(passwd).find(|account| account.name == name || id(name) == Some(account.uid));
    let uid = match (&account, id(name)) {
        (Some(account), _) => account.uid,
        (None, Some(uid)) => uid,
        (None, None) => return Err(format!("unable to find user {name}: no matching entries in passwd file")),
    };
    let gid = match user.group {
        Some(gid) => gid,
        None if group_name.is_empty() => account.as_ref().map_or(0, |account| account.gid),
        None => find_group(group_name, group)?,
    };
    let mut all: Vec<u32> = user.supplemental_groups.clone();
    if let Some(account) = &account {
        all.extend(
            groups(group)
                .filter(|group| group.members.split(',').any(|member| member == account.name))
                .map(|group| group.gid),
        );
    }
    all.push(gid);
    all.sort_unstable();
    all.dedup();
    let home = account.as_ref().map(|account| account.home).filter(|home| !home.is_empty()).unwrap_or(if uid == 0 {
        "/root"
    } else {
        "/"
    });
    Ok(Resolved { uid, gid, groups: all, home: home.to_owned() })
}

fn find_group(name: &str, text: &str) -> Result<u32, String> {
    let found = groups(text).find(|group| group.name == name).map(|group| group.gid);
    found.or_else(|| id(name)).ok_or_else(|| format!("unable to find group {name}: no matching entries in group file"))
}

/// The number of a user or a group; what lies beyond is none, for the kernel takes the largest for "as before".
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| i32::try_from(*number).is_ok())
}

fn accounts(text: &str) -> impl Iterator<Item = Account<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, uid, gid) = (fields.next()?, id(fields.nth(1)?)?, id(fields.next()?)?);
        Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or("") })
    })
}

fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some(Group { name: fields.next()?, gid: id(fields.nth(1)?)?, members: fields.next().unwrap_or("") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:w:/var/www:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:web\nstaff:x:50:\n";

    fn check(name: &str, expected: Result<(u32, u32, &[u32], &str), &str>) {
        let user = User { name: name.to_owned(), group: None, supplemental_groups: Vec::new() };
        let found = lookup(&user, PASSWD, GROUP);
        let found =
            found.as_ref().map(|user| (user.uid, user.gid, &user.groups[..], &user.home[..])).map_err(|text| &text[..]);
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn names_need_entries_and_numbers_do_not() {
        check("", Ok((0, 0, &[0], "/root")));
        check("web", Ok((33, 34, &[4, 34], "/var/www")));
        check("33:staff", Ok((33, 50, &[4, 50], "/var/www")));
        check("1000:7", Ok((1000, 7, &[7], "/")));
        check("nobody", Err("unable to find user nobody: no matching entries in passwd file"));
        check("0:nogroup", Err("unable to find group nogroup: no matching entries in group file"));
    }

    #[test]
    fn a_number_that_leaves_the_user_as_it_was_is_none() {
        check("4294967295", Err("unable to find user 4294967295: no matching entries in passwd file"));
        check("0:4294967295", Err("unable to find group 4294967295: no matching entries in group file"));
        let user = User { name: "web".to_owned(), group: None, supplemental_groups: Vec::new() };
        assert!(lookup(&user, "web:x:4294967295:4294967295::/:/bin/sh", "").is_err());
        assert_eq!(lookup(&user, PASSWD, "all:x:4294967295:web").unwrap().groups, [34]);
    }

    #[test]
    fn the_pods_groups_come_on_top() {
        let user = User { name: "web".to_owned(), group: Some(9), supplemental_groups: vec![100, 4] };
        assert_eq!(lookup(&user, PASSWD, GROUP).unwrap().groups, [4, 9, 100]);
    }
}
