//! What a command line's words name: `TYPE`, `TYPE NAME...`, `TYPE/NAME...`, `TYPE,TYPE`.

use crate::discovery::{Catalog, Resource};
use crate::{Error, Result};

/// One resource type and the names that are asked of it; none stands for all objects.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub resource: &'a Resource,
    pub names: Vec<String>,
}

/// Reads the words; `verb` is for the error that says what was not given.
pub fn parse<'a>(catalog: &'a Catalog, words: &[String], verb: &str) -> Result<Vec<Target<'a>>> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Error::plain(format!("You must specify the type of resource to {verb}.")));
    };
    if words.iter().any(|word| word.contains('/')) {
        return slashed(catalog, words);
    }
    let mut targets: Vec<Target> = Vec::new();
    for word in first.split(',').filter(|word| !word.is_empty()) {
        for resource in catalog.expand(word)? {
            if !targets.iter().any(|target| target.resource == resource) {
                targets.push(Target { resource, names: rest.to_vec() });
            }
        }
    }
    Ok(targets)
}

fn slashed<'a>(catalog: &'a Catalog, words: &[String]) -> Result<Vec<Target<'a>>> {
    let mut targets: Vec<Target> = Vec::new();
    for word in words {
        let (resource, name) = pair(word)?;
        let resource = catalog.find(resource)?;
        match targets.last_mut().filter(|target| target.resource == resource) {
            Some(target) => target.names.push(name.to_owned()),
            None => targets.push(Target { resource, names: vec![name.to_owned()] }),
        }
    }
    Ok(targets)
}

/// `TYPE/NAME`
pub fn pair(word: &str) -> Result<(&str, &str)> {
    let mixed = "there is no need to specify a resource type as a separate argument when passing arguments in \
                 resource/name form (e.g. 'get resource/<resource_name>' instead of 'get resource \
                 resource/<resource_name>'";
    let (resource, name) = word.split_once('/').ok_or_else(|| Error::plain(mixed))?;
    let single = !resource.is_empty() && !name.is_empty() && !name.contains('/') && !resource.contains(',');
    let message = "arguments in resource/name form must have a single resource and name";
    if single { Ok((resource, name)) } else { Err(Error::plain(message)) }
}

/// The one object that `TYPE/NAME` or `TYPE NAME` names.
pub fn single<'a>(catalog: &'a Catalog, words: &[String], verb: &str) -> Result<(&'a Resource, String)> {
    let mut targets = parse(catalog, words, verb)?;
    match targets.as_mut_slice() {
        [Target { resource, names }] if names.len() == 1 => Ok((*resource, names.remove(0))),
        _ => Err(Error::plain("exactly one TYPE/NAME is needed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::tests::catalog;

    fn read(words: &str) -> String {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let catalog = catalog();
        match parse(&catalog, &words, "get") {
            Ok(targets) => {
                let texts =
                    targets.iter().map(|target| format!("{}:{}", target.resource.label(), target.names.join("+")));
                texts.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn words_name_types_and_objects() {
        let cases = [
            ("po", "pod:"),
            ("po a b", "pod:a+b"),
            ("po/a po/b deploy/c", "pod:a+b deployment.apps:c"),
            ("po,deploy", "pod: deployment.apps:"),
            ("all,po", "pod: deployment.apps:"),
            ("", "error: You must specify the type of resource to get."),
            ("po/a/b", "error: arguments in resource/name form must have a single resource and name"),
            ("po x", "pod:x"),
        ];
        for (words, expected) in cases {
            assert_eq!(read(words), expected, "{words}");
        }
        assert!(read("po po/a").starts_with("error: there is no need to specify a resource type"));
    }

    #[test]
    fn one_object_may_be_asked_for() {
        let catalog = catalog();
        let one = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            single(&catalog, &words, "scale").map(|(resource, name)| format!("{}/{name}", resource.label())).ok()
        };
        assert_eq!(one(&["deploy/web"]).as_deref(), Some("deployment.apps/web"));
        assert_eq!(one(&["deploy", "web"]).as_deref(), Some("deployment.apps/web"));
        assert_eq!(one(&["deploy", "a", "b"]), None);
        assert_eq!(one(&["deploy"]), None);
    }
}
