//! Reads the descriptions out of one generated file.

/// Where the descriptions of fields stand, in spaces.
const FIELD_INDENT: usize = 16;

/// A record of the type in this file, if it has a schema and is of a version that can be served: its name, its
/// description, then name and description of each field, all parted by `\u{1f}`.
pub fn file(text: &str) -> Option<String> {
    let schema = &text[text.find("fn schema_name()")?..];
    let mut lines = schema.lines();
    let name = lines.find_map(|line| literal(line.trim().strip_suffix(".into()")?))?;
    if is_alpha(&name) {
        return None;
    }
    let mut record = vec![name, String::new()];
    let mut field: Option<String> = None;
    for line in lines {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if indent == FIELD_INDENT
            && let Some((key, _)) = trimmed.split_once(": ")
        {
            field = literal(key);
        }
        let Some(description) = description(trimmed) else { continue };
        match &field {
            None => record[1] = description,
            Some(json) if indent == FIELD_INDENT + 4 => record.extend([json.clone(), description]),
            Some(_) => {}
        }
    }
    Some(record.join("\u{1f}"))
}

/// Whether the version in `io.k8s.api.PACKAGE.VERSION.KIND` is an alpha one.
fn is_alpha(name: &str) -> bool {
    name.rsplit('.').nth(1).unwrap_or_default().contains("alpha")
}

/// The text in `"description": "…",` or `….insert("description".into(), "…".into());`.
fn description(line: &str) -> Option<String> {
    if let Some(rest) = line.strip_prefix("\"description\": ") {
        return literal(rest.strip_suffix(',')?);
    }
    let (_, rest) = line.split_once("insert(\"description\".into(), ")?;
    literal(rest.strip_suffix(".into());")?)
}

/// The content of a Rust text literal.
fn literal(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => plain.push(escape(&mut characters)?),
            c => plain.push(c),
        }
    }
    Some(plain)
}

fn escape(characters: &mut std::str::Chars<'_>) -> Option<char> {
    match characters.next()? {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        '0' => Some('\0'),
        'u' => {
            let digits: String = characters.by_ref().skip(1).take_while(|c| *c != '}').collect();
            char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
        }
        other => Some(other),
    }
}
