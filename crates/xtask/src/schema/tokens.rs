//! The argument of `json_schema!` as a tree.

use anyhow::{Context, Result, bail};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A JSON literal in which any value may be a Rust expression.
#[derive(Debug)]
pub enum Tree {
    Object(Vec<(String, Tree)>),
    Array(Vec<Tree>),
    Text(String),
    /// A number, `true`, `null`.
    Other,
    /// `__gen.subschema_for::<PATH>()` in some form; the path, without `crate::`.
    Reference(String),
}

impl Tree {
    pub fn get(&self, key: &str) -> Option<&Tree> {
        match self {
            Self::Object(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

pub fn parse(tokens: TokenStream) -> Result<Tree> {
    value(&tokens.into_iter().collect::<Vec<_>>())
}

fn value(tokens: &[TokenTree]) -> Result<Tree> {
    match tokens {
        [TokenTree::Group(group)] => match group.delimiter() {
            Delimiter::Brace => object(group.stream()),
            Delimiter::Bracket => {
                let items = split(group.stream());
                Ok(Tree::Array(items.iter().map(|item| value(item)).collect::<Result<_>>()?))
            }
            _ => expression(tokens),
        },
        [TokenTree::Literal(literal)] => match syn::parse_str::<syn::LitStr>(&literal.to_string()) {
            Ok(text) => Ok(Tree::Text(text.value())),
            Err(_) => Ok(Tree::Other),
        },
        [TokenTree::Ident(_)] => Ok(Tree::Other),
        _ => expression(tokens),
    }
}

fn object(stream: TokenStream) -> Result<Tree> {
    let mut entries = Vec::new();
    for entry in split(stream) {
        let [TokenTree::Literal(key), TokenTree::Punct(_), rest @ ..] = entry.as_slice() else {
            bail!("not an entry: {entry:?}");
        };
        let key = syn::parse_str::<syn::LitStr>(&key.to_string())?.value();
        entries.push((key, value(rest)?));
    }
    Ok(Tree::Object(entries))
}

/// Finds the type that the expression makes a reference to.
fn expression(tokens: &[TokenTree]) -> Result<Tree> {
    let text: String = tokens.iter().map(ToString::to_string).collect::<String>().split_whitespace().collect();
    let (_, after) = text.split_once("subschema_for::<crate::").with_context(|| format!("no reference: {text}"))?;
    let (path, _) = after.split_once('>').context("an open reference")?;
    Ok(Tree::Reference(path.to_owned()))
}

/// Parts at top-level commas; a trailing one ends nothing.
fn split(stream: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    for token in stream {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => parts.push(Vec::new()),
            _ => parts.last_mut().expect("never empty").push(token),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}
