//! From text to a tree, by recursive descent and precedence climbing.

use crate::ast::{
    Builder, Call, Element, Entry, Expr, Field, HEIGHT_MAX, Id, Kind, Literal, NODES_MAX, Select, Struct, operator,
};
use crate::lexer::{self, Token, TokenKind};
use crate::macros::{self, Macros};
use crate::source::{Issues, NOWHERE, Offset};

/// How many characters an expression may have.
const LENGTH_MAX: usize = 100_000;
/// Nested brackets and conditions; each costs the parser a few stack frames.
const NESTING_MAX: usize = 250;

/// Legal as fields, but not as variables.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// What an operand begins with, and what may stand in its place.
const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', ";
const ARGUMENT: &str = "{'[', '{', '(', ')', '.', '-', '!', ";
const ELEMENT: &str = "{'[', ']', '{', '(', '.', ',', '-', '!', '?', ";
const ENTRY: &str = "{'[', '{', '}', '(', '.', ',', '-', '!', '?', ";
const LITERALS: &str = "'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Binary operators: text, function, how tightly it binds.
const BINARY: &[(&str, &str, u8)] = &[
    ("<", "_<_", 1),
    ("<=", "_<=_", 1),
    (">=", "_>=_", 1),
    (">", "_>_", 1),
    ("==", operator::EQUALS, 1),
    ("!=", operator::NOT_EQUALS, 1),
    ("in", operator::IN, 1),
    ("+", operator::ADD, 2),
    ("-", "_-_", 2),
    ("*", "_*_", 3),
    ("/", "_/_", 3),
    ("%", "_%_", 3),
];

/// Parsing cannot go on; the issues say why.
struct Stop;

type Parsed<T = Expr> = Result<T, Stop>;

/// The tree of `text`, with the offsets of its nodes.
pub fn parse(text: &str, known: Macros) -> Result<(Expr, Builder), Issues> {
    let mut issues = Issues::new(text);
    let length = text.chars().count();
    if length > LENGTH_MAX {
        let limit = format!("expression code point size exceeds limit: size: {length}, limit {LENGTH_MAX}");
        issues.report(NOWHERE, limit);
        return Err(issues);
    }
    let tokens = lexer::tokens(text, &mut issues);
    let mut parser = Parser { tokens, at: 0, nesting: 0, known, builder: Builder::default(), issues };
    match parser.whole() {
        Ok(expr) if parser.issues.is_empty() => Ok((expr, parser.builder)),
        _ => Err(parser.issues),
    }
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
    nesting: usize,
    known: Macros,
    builder: Builder,
    issues: Issues,
}

impl<'t> Parser<'t> {
    fn whole(&mut self) -> Parsed {
        let expr = self.expr()?;
        if self.peek().kind == TokenKind::End {
            return Ok(expr);
        }
        let last = self.tokens.get(self.at + 1).is_some_and(|next| next.kind == TokenKind::End);
        let fault = if last { "extraneous" } else { "mismatched" };
        Err(self.syntax(format!("{fault} input '{}' expecting <EOF>", self.peek().text)))
    }

    fn expr(&mut self) -> Parsed {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.too_deep());
        }
        let expr = self.conditional();
        self.nesting -= 1;
        expr
    }

    fn conditional(&mut self) -> Parsed {
        let condition = self.logic(operator::OR)?;
        let Some(question) = self.take("?") else { return Ok(condition) };
        let id = self.builder.id(question);
        let truthy = self.logic(operator::OR)?;
        self.expect(":")?;
        let falsy = self.expr()?;
        self.node(id, Kind::call(operator::CONDITIONAL, vec![condition, truthy, falsy]))
    }

    /// Terms joined by `||`, or below that by `&&`, as a balanced tree.
    fn logic(&mut self, function: &str) -> Parsed {
        let symbol = if function == operator::OR { "||" } else { "&&" };
        let mut terms = vec![self.term(function)?];
        let mut operators = Vec::new();
        while let Some(offset) = self.take(symbol) {
            terms.push(self.term(function)?);
            operators.push(self.builder.id(offset));
        }
        let mut terms: Vec<Option<Expr>> = terms.into_iter().map(Some).collect();
        self.balance(function, &mut terms, &operators)
    }

    fn term(&mut self, function: &str) -> Parsed {
        if function == operator::OR { self.logic(operator::AND) } else { self.binary(1) }
    }

    /// `terms` has one more than `operators`.
    fn balance(&mut self, function: &str, terms: &mut [Option<Expr>], operators: &[Id]) -> Parsed {
        if operators.is_empty() {
            return Ok(terms[0].take().expect("each term is taken once"));
        }
        let middle = operators.len() / 2;
        let (left, right) = terms.split_at_mut(middle + 1);
        let left = self.balance(function, left, &operators[..middle])?;
        let right = self.balance(function, right, &operators[middle + 1..])?;
        self.node(operators[middle], Kind::call(function, vec![left, right]))
    }

    fn binary(&mut self, least: u8) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let token = self.peek();
            let found = BINARY.iter().find(|(text, _, _)| token.kind == TokenKind::Symbol && token.text == *text);
            let Some((_, function, binds)) = found.filter(|(_, _, binds)| *binds >= least) else { return Ok(left) };
            self.at += 1;
            let id = self.builder.id(token.offset);
            let right = self.binary(binds + 1)?;
            left = self.node(id, Kind::call(function, vec![left, right]))?;
        }
    }

    fn unary(&mut self) -> Parsed {
        for (symbol, function) in [("!", operator::NOT), ("-", operator::NEGATE)] {
            let Some(offset) = self.take(symbol) else { continue };
            if symbol == "-" && matches!(self.peek().kind, TokenKind::Int | TokenKind::Float) {
                let literal = self.literal(Some(offset))?;
                return self.members(literal);
            }
            let mut count = 1;
            while self.take(symbol).is_some() {
                count += 1;
            }
            let operand = match self.peek() {
                Token { kind: TokenKind::Symbol, text: "-", .. } => self.unary()?,
                _ => self.member()?,
            };
            if count % 2 == 0 {
                return Ok(operand);
            }
            let id = self.builder.id(offset);
            return self.node(id, Kind::call(function, vec![operand]));
        }
        self.member()
    }

    fn member(&mut self) -> Parsed {
        let primary = self.primary()?;
        self.members(primary)
    }

    fn members(&mut self, mut expr: Expr) -> Parsed {
        loop {
            expr = if let Some(dot) = self.take(".") {
                self.select_or_call(expr, dot)?
            } else if let Some(bracket) = self.take("[") {
                let optional = self.take("?").is_some();
                let id = self.builder.id(bracket);
                let index = self.expr()?;
                self.expect("]")?;
                let function = if optional { operator::OPTIONAL_INDEX } else { operator::INDEX };
                self.node(id, Kind::call(function, vec![expr, index]))?
            } else {
                return Ok(expr);
            };
        }
    }

    fn select_or_call(&mut self, operand: Expr, dot: Offset) -> Parsed {
        let optional = self.take("?").is_some();
        let token = self.peek();
        let field = match token.kind {
            TokenKind::Identifier => token.text,
            TokenKind::Escaped => {
                self.issues.report(token.offset, "unsupported syntax: '`'");
                token.text
            }
            _ => {
                return Err(self.syntax(format!("no viable alternative at input '.{}'", token.text)));
            }
        };
        self.at += 1;
        if optional {
            let id = self.builder.id(dot);
            let name = self.builder.at(token.offset, Kind::Literal(Literal::String(field.into())));
            return self.node(id, Kind::call(operator::OPTIONAL_SELECT, vec![operand, name]));
        }
        if let Some(bracket) = self.take("(") {
            let id = self.builder.id(bracket);
            let arguments = self.arguments()?;
            return self.call(id, field, Some(operand), arguments);
        }
        let id = self.builder.id(dot);
        self.node(id, Kind::Select(Select { operand: Box::new(operand), field: field.to_owned(), test: false }))
    }

    fn primary(&mut self) -> Parsed {
        let token = self.peek();
        match (token.kind, token.text) {
            (TokenKind::Identifier, _) | (TokenKind::Symbol, ".") => self.name(),
            (TokenKind::Symbol, "(") => {
                self.at += 1;
                let inner = self.expr()?;
                self.expect(")")?;
                Ok(inner)
            }
            (TokenKind::Symbol, "[") => self.list(),
            (TokenKind::Symbol, "{") => self.map(),
            (TokenKind::Symbol, "true" | "false" | "null") => self.literal(None),
            (TokenKind::Symbol | TokenKind::End | TokenKind::Escaped, _) => {
                self.skip_to_operand(OPERAND)?;
                self.primary()
            }
            _ => self.literal(None),
        }
    }

    /// Passes over one token too many before an operand; anything else is where parsing stops.
    fn skip_to_operand(&mut self, expected: &str) -> Parsed<()> {
        let skips = self.tokens.get(self.at + 1).is_some_and(begins_operand);
        let fault = if skips { "extraneous" } else { "mismatched" };
        let stop = self.syntax(format!("{fault} input '{}' expecting {expected}{LITERALS}", self.peek().text));
        if skips {
            self.at += 1;
            return Ok(());
        }
        if self.tokens.get(self.at + 1).is_some_and(|next| next.kind == TokenKind::End) {
            self.at += 1;
            return Err(self.syntax(format!("mismatched input '<EOF>' expecting {OPERAND}{LITERALS}")));
        }
        Err(stop)
    }

    /// Behind an opening bracket.
    fn expect_first(&mut self, close: &str, expected: &str) -> Parsed<()> {
        let token = self.peek();
        let known = token.kind == TokenKind::Symbol && (token.text == close || token.text == "?");
        if known || begins_operand(&token) { Ok(()) } else { self.skip_to_operand(expected) }
    }

    /// A variable, a call, or a message: what begins with a name.
    fn name(&mut self) -> Parsed {
        let dot = self.take(".");
        let token = self.identifier()?;
        let start = dot.unwrap_or(token.offset);
        if let Some(length) = self.message_name() {
            return self.message(dot.is_some(), token, length);
        }
        let prefix = if dot.is_some() { "." } else { "" };
        let reserved = RESERVED.contains(&token.text);
        if reserved {
            self.issues.report(start, format!("reserved identifier: {}", token.text));
        }
        if let Some(bracket) = self.take("(") {
            let id = self.builder.id(bracket);
            let arguments = self.arguments()?;
            return self.call(id, &format!("{prefix}{}", token.text), None, arguments);
        }
        if reserved {
            return Ok(self.builder.at(start, Kind::Literal(Literal::Null)));
        }
        Ok(self.builder.at(token.offset, Kind::Ident(format!("{prefix}{}", token.text))))
    }

    /// How many further names, each behind a dot, stand before an opening brace.
    fn message_name(&self) -> Option<usize> {
        let mut names = 0;
        loop {
            let at = self.at + 2 * names;
            match (self.tokens.get(at)?, self.tokens.get(at + 1)) {
                (Token { kind: TokenKind::Symbol, text: "{", .. }, _) => return Some(names),
                (Token { kind: TokenKind::Symbol, text: ".", .. }, Some(Token { kind: TokenKind::Identifier, .. })) => {
                    names += 1
                }
                _ => return None,
            }
        }
    }

    fn message(&mut self, dot: bool, first: Token<'t>, names: usize) -> Parsed {
        let mut name = format!("{}{}", if dot { "." } else { "" }, first.text);
        for part in &self.tokens[self.at..self.at + 2 * names] {
            name.push_str(part.text);
        }
        self.at += 2 * names;
        let brace = self.expect("{")?;
        let id = self.builder.id(brace);
        let mut fields = Vec::new();
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let field = self.identifier()?;
            let colon = self.expect(":")?;
            let field_id = self.builder.id(colon);
            let value = self.expr()?;
            fields.push(Field { id: field_id, name: field.text.to_owned(), value, optional });
            self.separator("}")?;
        }
        self.node(id, Kind::Struct(Struct { name, fields }))
    }

    fn list(&mut self) -> Parsed {
        let bracket = self.expect("[")?;
        let id = self.builder.id(bracket);
        self.expect_first("]", ELEMENT)?;
        let mut elements = Vec::new();
        while self.take("]").is_none() {
            let optional = self.take("?").is_some();
            elements.push(Element { value: self.expr()?, optional });
            self.separator("]")?;
        }
        self.node(id, Kind::List(elements))
    }

    fn map(&mut self) -> Parsed {
        let brace = self.expect("{")?;
        let id = self.builder.id(brace);
        self.expect_first("}", ENTRY)?;
        let mut entries = Vec::new();
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let key = self.expr()?;
            self.expect(":")?;
            entries.push(Entry { key, value: self.expr()?, optional });
            self.separator("}")?;
        }
        self.node(id, Kind::Map(entries))
    }

    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut arguments = Vec::new();
        self.expect_first(")", ARGUMENT)?;
        if self.take(")").is_some() {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expr()?);
            if self.take(",").is_none() {
                self.expect(")")?;
                return Ok(arguments);
            }
        }
    }

    fn call(&mut self, id: Id, function: &str, target: Option<Expr>, arguments: Vec<Expr>) -> Parsed {
        let mut call = Call { function: function.to_owned(), target: target.map(Box::new), arguments };
        let expr = match macros::find(&call, self.known) {
            None => self.builder.with_id(id, Kind::Call(call)),
            Some(expand) => {
                let mut expansion = macros::Expansion { builder: &mut self.builder, call: id };
                match expand(&mut expansion, &mut call) {
                    Ok(expr) => expr,
                    Err((at, message)) => {
                        self.issues.report(self.builder.offset(at), message);
                        self.builder.with_id(id, Kind::Literal(Literal::Null))
                    }
                }
            }
        };
        self.checked(expr)
    }

    fn literal(&mut self, minus: Option<Offset>) -> Parsed {
        let token = self.peek();
        self.at += 1;
        let offset = minus.unwrap_or(token.offset);
        let sign = if minus.is_some() { "-" } else { "" };
        match literal(token, sign) {
            Ok(literal) => Ok(self.builder.at(offset, Kind::Literal(literal))),
            Err(message) => {
                self.issues.report(offset, message);
                Ok(self.builder.at(offset, Kind::Literal(Literal::Null)))
            }
        }
    }

    fn node(&mut self, id: Id, kind: Kind) -> Parsed {
        let expr = self.builder.with_id(id, kind);
        self.checked(expr)
    }

    fn checked(&mut self, expr: Expr) -> Parsed {
        if self.builder.too_deep {
            return Err(self.too_deep());
        }
        if self.builder.too_large {
            self.issues.report(NOWHERE, format!("expression expands to more than {NODES_MAX} nodes"));
            return Err(Stop);
        }
        Ok(expr)
    }

    fn too_deep(&mut self) -> Stop {
        self.issues.report(NOWHERE, format!("expression recursion limit exceeded: {HEIGHT_MAX}"));
        Stop
    }

    fn peek(&self) -> Token<'t> {
        self.tokens[self.at]
    }

    /// Passes over `symbol` if it is next, and says where it stood.
    fn take(&mut self, symbol: &str) -> Option<Offset> {
        let token = self.peek();
        (token.kind == TokenKind::Symbol && token.text == symbol).then(|| {
            self.at += 1;
            token.offset
        })
    }

    fn expect(&mut self, symbol: &str) -> Parsed<Offset> {
        self.take(symbol)
            .ok_or_else(|| self.syntax(format!("mismatched input '{}' expecting '{symbol}'", self.peek().text)))
    }

    fn separator(&mut self, close: &str) -> Parsed<()> {
        let closes = self.peek().kind == TokenKind::Symbol && self.peek().text == close;
        if !closes {
            self.expect(",")?;
        }
        Ok(())
    }

    fn identifier(&mut self) -> Parsed<Token<'t>> {
        let token = self.peek();
        if token.kind != TokenKind::Identifier {
            return Err(self.syntax(format!("mismatched input '{}' expecting IDENTIFIER", token.text)));
        }
        self.at += 1;
        Ok(token)
    }

    fn syntax(&mut self, message: String) -> Stop {
        self.issues.report(self.peek().offset, format!("Syntax error: {message}"));
        Stop
    }
}

fn begins_operand(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::Symbol => matches!(token.text, "[" | "{" | "(" | "." | "-" | "!" | "true" | "false" | "null"),
        TokenKind::End | TokenKind::Escaped => false,
        _ => true,
    }
}

fn literal(token: Token<'_>, sign: &str) -> Result<Literal, &'static str> {
    match token.kind {
        TokenKind::Int => integer(token.text, sign).map(Literal::Int).ok_or("invalid int literal"),
        TokenKind::Uint => unsigned(token.text).map(Literal::Uint).ok_or("invalid uint literal"),
        TokenKind::Float => {
            let value: f64 = format!("{sign}{}", token.text).parse().map_err(|_| "invalid double literal")?;
            if value.is_finite() { Ok(Literal::Double(value)) } else { Err("invalid double literal") }
        }
        TokenKind::Bytes => Ok(Literal::Bytes(lexer::unquote(&token.text[1..], true)?.into())),
        TokenKind::String => {
            let text = String::from_utf8(lexer::unquote(token.text, false)?).map_err(|_| "invalid UTF-8")?;
            Ok(Literal::String(text.into()))
        }
        _ => Ok(match token.text {
            "true" => Literal::Bool(true),
            "false" => Literal::Bool(false),
            _ => Literal::Null,
        }),
    }
}

fn integer(text: &str, sign: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(&format!("{sign}{digits}"), 16).ok(),
        None => format!("{sign}{text}").parse().ok(),
    }
}

fn unsigned(text: &str) -> Option<u64> {
    let text = &text[..text.len() - 1];
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
