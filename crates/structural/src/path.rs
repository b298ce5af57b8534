//! Paths to fields that a schema knows: `.spec.replicas`, `.metadata['labels']`.

use crate::schema::Schema;

/// A path as errors write it, and the schema it leads to.
#[derive(Debug)]
pub struct FieldPath<'a> {
    /// `spec.replicas`, `labels[app]`.
    pub text: String,
    /// Names, outermost first.
    pub names: Vec<String>,
    pub schema: &'a Schema,
}

/// Follows a path of dots and, where `brackets` are allowed, quoted names; the error says upstream's why.
pub fn resolve<'a>(path: &str, schema: &'a Schema, brackets: bool) -> Result<FieldPath<'a>, String> {
    let mut found = FieldPath { text: String::new(), names: Vec::new(), schema };
    let mut tokens = Tokens(path);
    const END: &str = "unexpected end of JSON path";
    while let Some(token) = tokens.next() {
        match token {
            "[" if !brackets => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let token = tokens.next().ok_or(END)?;
                let quoted = token.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let quoted = quoted.ok_or_else(|| format!("expected single quoted string but got {token}"))?;
                found.step(&unescape(quoted)?)?;
                match tokens.next().ok_or(END)? {
                    "]" => {}
                    other => return Err(format!("expected ] but got {other}")),
                }
            }
            "." => found.step(tokens.next().ok_or(END)?)?,
            other => return Err(format!("expected [ or . but got: {other}")),
        }
    }
    Ok(found)
}

impl FieldPath<'_> {
    fn step(&mut self, name: &str) -> Result<(), String> {
        let unknown = || "does not refer to a valid field".to_owned();
        if !self.schema.properties.is_empty() {
            self.schema = self.schema.properties.get(name).ok_or_else(unknown)?;
            self.text = if self.text.is_empty() { name.to_owned() } else { format!("{}.{name}", self.text) };
        } else {
            self.schema = self.schema.additional().ok_or_else(unknown)?;
            self.text = format!("{}[{name}]", self.text);
        }
        self.names.push(name.to_owned());
        Ok(())
    }
}

/// Delimiters, quoted names and what is between.
struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let first = self.0.chars().next()?;
        let length = match first {
            '.' | '[' | ']' => 1,
            '\'' => quoted(self.0),
            _ => self.0.find(['.', '[', ']']).unwrap_or(self.0.len()),
        };
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(token)
    }
}

/// The length of a quoted name with its quotes.
fn quoted(text: &str) -> usize {
    let bytes = text.as_bytes();
    let closes = |at: &usize| bytes[*at] == b'\'' && bytes[at - 1] != b'\\';
    (1..bytes.len()).find(closes).map_or(bytes.len(), |at| at + 1)
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('v') => out.push('\u{b}'),
            Some(of @ ('\'' | '\\')) => out.push(of),
            Some(other) => return Err(format!("invalid string literal: invalid escape char \\{other}")),
            None => out.push('\\'),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_fields() {
        let schema = Schema::root(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"a.b": {"type": "string"}, "x": {"type": "integer"}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }}));
        let resolve = |path: &str, brackets| resolve(path, &schema, brackets).map(|found| found.text);
        let unknown = || Err("does not refer to a valid field".to_owned());
        assert_eq!(resolve(".spec.x", false), Ok("spec.x".to_owned()));
        assert_eq!(resolve(".spec['a.b']", true), Ok("spec.a.b".to_owned()));
        assert_eq!(resolve(".labels['app']", true), Ok("labels[app]".to_owned()));
        assert_eq!(resolve(".labels.app", true), Ok("labels[app]".to_owned()));
        assert_eq!(resolve(".spec.y", true), unknown());
        assert_eq!(resolve(".spec.x.z", true), unknown());
        assert_eq!(resolve("spec", true), Err("expected [ or . but got: spec".to_owned()));
        assert_eq!(resolve(".spec['x'", true), Err("unexpected end of JSON path".to_owned()));
        assert_eq!(resolve(".spec[x]", true), Err("expected single quoted string but got x".to_owned()));
        assert_eq!(resolve(".spec['x']", false), Err("array notation is not allowed".to_owned()));
    }
}
