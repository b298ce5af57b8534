//! The grammar of label selectors.

use super::Error;
use super::label::{Operator, Requirement, check_key};
use crate::field::Path;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    End,
    Word,
    Comma,
    Open,
    Close,
    Not,
    Compare(Operator),
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
}

const SYMBOLS: &[(&str, Kind)] = &[
    ("==", Kind::Compare(Operator::Equals)),
    ("!=", Kind::Compare(Operator::NotEquals)),
    ("=", Kind::Compare(Operator::Equals)),
    (">", Kind::Compare(Operator::GreaterThan)),
    ("<", Kind::Compare(Operator::LessThan)),
    ("!", Kind::Not),
    ("(", Kind::Open),
    (")", Kind::Close),
    (",", Kind::Comma),
];

pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, Error> {
    let mut parser = Parser { tokens: scan(text), at: 0 };
    let mut requirements = Vec::new();
    loop {
        let token = parser.peek();
        match token.kind {
            Kind::Word | Kind::Not => {}
            Kind::End => return Ok(requirements),
            _ => return Err(found(token.text, "expected: !, identifier, or 'end of string'")),
        }
        let requirement =
            parser.requirement().map_err(|error| Error(format!("unable to parse requirement: {error}")))?;
        requirements.push(requirement);
        let token = parser.take();
        match (token.kind, parser.peek()) {
            (Kind::End, _) => return Ok(requirements),
            (Kind::Comma, next) if !matches!(next.kind, Kind::Word | Kind::Not) => {
                return Err(found(next.text, "expected: identifier after ','"));
            }
            (Kind::Comma, _) => {}
            _ => return Err(found(token.text, "expected: ',' or 'end of string'")),
        }
    }
}

fn found(text: &str, expected: &str) -> Error {
    Error(format!("found '{text}', {expected}"))
}

fn scan(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', '\r', '\n']);
    while !rest.is_empty() {
        let (token, after) = first(rest);
        tokens.push(token);
        rest = after.trim_start_matches([' ', '\t', '\r', '\n']);
    }
    tokens.push(Token { kind: Kind::End, text: "" });
    tokens
}

fn first(text: &str) -> (Token<'_>, &str) {
    if let Some((symbol, kind)) = SYMBOLS.iter().find(|(symbol, _)| text.starts_with(symbol)) {
        let (text, rest) = text.split_at(symbol.len());
        return (Token { kind: *kind, text }, rest);
    }
    let end = text.find(|c: char| "=!(),><".contains(c) || " \t\r\n".contains(c)).unwrap_or(text.len());
    let (text, rest) = text.split_at(end);
    let kind = if text.is_empty() { Kind::Unknown } else { Kind::Word };
    (Token { kind, text }, rest)
}

struct Parser<'a> {
    /// The last one is the end.
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let mut token = self.take();
        let negated = token.kind == Kind::Not;
        if negated {
            token = self.take();
        }
        if token.kind != Kind::Word {
            return Err(found(token.text, "expected: identifier"));
        }
        if let Some(error) = check_key(token.text, &Path::root()) {
            return Err(Error(error.to_string()));
        }
        let key = token.text;
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        Requirement::new(key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, Error> {
        let token = self.take();
        match (token.kind, token.text) {
            (Kind::Compare(operator), _) => Ok(operator),
            (Kind::Word, "in") => Ok(Operator::In),
            (Kind::Word, "notin") => Ok(Operator::NotIn),
            (_, text) => Err(found(text, "expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn exact_value(&mut self) -> Result<String, Error> {
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Ok(String::new());
        }
        let token = self.take();
        match token.kind {
            Kind::Word => Ok(token.text.to_owned()),
            _ => Err(found(token.text, "expected: identifier")),
        }
    }

    /// `(a,b)`; a missing value between commas is the empty one.
    fn values(&mut self) -> Result<Vec<String>, Error> {
        let open = self.take();
        if open.kind != Kind::Open {
            return Err(Error(format!("found '{}' expected: '('", open.text)));
        }
        let mut values = Vec::new();
        loop {
            let token = self.take();
            match token.kind {
                Kind::Word => {
                    values.push(token.text.to_owned());
                    let next = self.peek();
                    match next.kind {
                        Kind::Comma => drop(self.take()),
                        Kind::Close => {}
                        _ => return Err(found(next.text, "expected: ',' or ')'")),
                    }
                    if next.kind == Kind::Comma && matches!(self.peek().kind, Kind::Close | Kind::Comma) {
                        values.push(String::new());
                    }
                }
                Kind::Comma => values.push(String::new()),
                Kind::Close => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    return Ok(values);
                }
                _ => return Err(found(token.text, "expected: ',', ')' or identifier")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LabelSelector;

    fn check(text: &str, printed: &str) {
        let selector = LabelSelector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(selector.to_string(), printed, "{text}");
    }

    fn refuse(text: &str, message: &str) {
        let error = LabelSelector::parse(text).expect_err(text);
        assert!(error.to_string().contains(message), "{text}: {error}");
    }

    #[test]
    fn selectors_print_in_normal_form() {
        check("x=a,y=b,z=c", "x=a,y=b,z=c");
        check("z=c , x = a", "x=a,z=c");
        check("x==a", "x=a");
        check("x=", "x=");
        check("x= , z= ", "x=,z=");
        check("x in ()", "x in ()");
        check("x notin (c,a,,b)", "x notin (,a,b,c)");
        check("x in (a, )", "x in (,a)");
        check("!x", "!x");
        check("a.b/c>1", "a.b/c>1");
        check("", "");
    }

    #[test]
    fn mistakes_are_explained() {
        refuse("x=a||y=b", "unable to parse requirement: values[0][x]: Invalid value: \"a||y\": a valid label must be");
        refuse("x,,y", "found ',', expected: identifier after ','");
        refuse("x in a", "unable to parse requirement: found 'a' expected: '('");
        refuse("x ! y", "unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt");
        refuse("=b", "found '=', expected: !, identifier, or 'end of string'");
        refuse("a-=b", "unable to parse requirement: <nil>: Invalid value: \"a-\": name part must consist of");
        refuse("x>a", "the value must be an integer");
        refuse("x in (a", "found '', expected: ',' or ')'");
        refuse("x=a y", "found 'y', expected: ',' or 'end of string'");
    }
}
