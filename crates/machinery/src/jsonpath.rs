//! JSONPath as Kubernetes has it: where a value is in an object (upstream: client-go util/jsonpath).

use std::cell::Cell;

use serde_json::Value;

/// How deep filters may be within filters.
const NESTING_MAX: usize = 16;
/// Values that one search looks at: each `..` multiplies them, and so does each filter within a filter.
const VISITS_MAX: usize = 1 << 20;

/// A parsed path: `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    /// First, behind the last, and how far apart.
    Slice(Option<i64>, Option<i64>, i64),
    /// All items or fields.
    All,
    /// The value and everything below it.
    Below,
    AnyOf(Vec<Step>),
    /// Items for which this holds.
    Where(Operand, Operator, Operand),
    /// Items that have something there.
    Having(Operand),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    /// Within the item.
    Path(JsonPath),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl JsonPath {
    /// Reads a path, with or without a dollar sign before it; nothing for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::within(text, NESTING_MAX)
    }

    /// Where filters may be so much deeper.
    fn within(text: &str, nesting: usize) -> Option<Self> {
        let text = text.trim();
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, behind) = step(rest, nesting)?;
            steps.extend(step);
            rest = behind;
        }
        Some(Self(steps))
    }

    /// All that the path leads to, in order; of what takes too long to find, nothing.
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let search = Search { left: Cell::new(VISITS_MAX) };
        let found = search.follow(self, root);
        if search.is_over() { Vec::new() } else { found }
    }
}

/// One step and what is behind it; a lone dot is none.
fn step(text: &str, nesting: usize) -> Option<(Option<Step>, &str)> {
    if text.len() > 2 && text.starts_with("..") {
        // The second dot goes with the name that follows.
        return Some((Some(Step::Below), if text[2..].starts_with('[') { &text[2..] } else { &text[1..] }));
    }
    if let Some(rest) = text.strip_prefix('.') {
        if let Some(rest) = rest.strip_prefix('*') {
            return Some((Some(Step::All), rest));
        }
        let (name, rest) = name(rest);
        return Some(((!name.is_empty()).then_some(Step::Field(name)), rest));
    }
    if let Some(inner) = text.strip_prefix('[') {
        let end = closing(inner)?;
        return Some((Some(bracket(inner[..end].trim(), nesting)?), &inner[end + 1..]));
    }
    let (name, rest) = name(text);
    (!name.is_empty()).then_some((Some(Step::Field(name)), rest))
}

/// A name up to the next dot or bracket; a backslash takes their meaning away.
fn name(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => out.extend(characters.next().map(|(_, escaped)| escaped)),
            '.' | '[' | ']' => return (out, &text[at..]),
            other => out.push(other),
        }
    }
    (out, "")
}

/// Where the bracket closes that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0usize, None, false);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str, nesting: usize) -> Option<Step> {
    if text == "*" {
        return Some(Step::All);
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return filter_of(filter, nesting.checked_sub(1)?);
    }
    let parts = split(text);
    if parts.len() > 1 {
        return Some(Step::AnyOf(parts.into_iter().map(|part| bracket(part, nesting)).collect::<Option<_>>()?));
    }
    if let Some(name) = quoted(text) {
        return Some(Step::Field(name));
    }
    if text.contains(':') {
        let numbers: Vec<Option<i64>> = text
            .split(':')
            .map(|part| if part.is_empty() { Some(None) } else { part.trim().parse().ok().map(Some) })
            .collect::<Option<_>>()?;
        let at = |index: usize| numbers.get(index).copied().flatten();
        return Some(Step::Slice(at(0), at(1), at(2).unwrap_or(1)));
    }
    text.parse().ok().map(Step::Index)
}

/// Parts between commas that are not quoted.
fn split(text: &str) -> Vec<&str> {
    let mut quote = None;
    let at_comma = move |character: char| {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, ',') => return true,
            _ => {}
        }
        false
    };
    text.split(at_comma).map(str::trim).collect()
}

fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|first| ['\'', '"'].contains(first))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    Some(inner.replace(&format!("\\{quote}"), &quote.to_string()))
}

fn filter_of(text: &str, nesting: usize) -> Option<Step> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, _) => {
                if let Some((sign, operator)) = OPERATORS.iter().find(|(sign, _)| text[at..].starts_with(sign)) {
                    let right = operand(&text[at + sign.len()..], nesting)?;
                    return Some(Step::Where(operand(&text[..at], nesting)?, *operator, right));
                }
                if ['!', '='].contains(&character) {
                    return None;
                }
            }
        }
    }
    operand(text, nesting).map(Step::Having)
}

fn operand(text: &str, nesting: usize) -> Option<Operand> {
    let text = text.trim();
    if let Some(path) = text.strip_prefix('@') {
        return JsonPath::within(path, nesting).map(Operand::Path);
    }
    quoted(text).map(Value::from).or_else(|| serde_json::from_str(text).ok()).map(Operand::Literal)
}

impl Operator {
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::String(left), Value::String(right)) => left.partial_cmp(right),
            (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
            _ => None,
        };
        match self {
            Self::Equal => left == right || order.is_some_and(|order| order.is_eq()),
            Self::NotEqual => left != right && !order.is_some_and(|order| order.is_eq()),
            Self::Less => order.is_some_and(|order| order.is_lt()),
            Self::LessOrEqual => order.is_some_and(|order| order.is_le()),
            Self::Greater => order.is_some_and(|order| order.is_gt()),
            Self::GreaterOrEqual => order.is_some_and(|order| order.is_ge()),
        }
    }
}

/// One search, and how many values it may still look at.
struct Search {
    left: Cell<usize>,
}

impl Search {
    fn is_over(&self) -> bool {
        self.left.get() == 0
    }

    fn follow<'a>(&self, path: &JsonPath, root: &'a Value) -> Vec<&'a Value> {
        let take =
            |values: Vec<&'a Value>, step: &Step| values.into_iter().flat_map(|value| self.step(step, value)).collect();
        path.0.iter().fold(vec![root], take)
    }

    fn step<'a>(&self, step: &Step, value: &'a Value) -> Vec<&'a Value> {
        let width = if matches!(step, Step::Field(_) | Step::Index(_)) { 0 } else { width(value) };
        self.left.set(self.left.get().saturating_sub(1 + width));
        if self.is_over() {
            return Vec::new();
        }
        match step {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Index(index) => item(value, *index).into_iter().collect(),
            Step::Slice(from, to, apart) => slice(value, *from, *to, *apart),
            Step::All => entries(value),
            Step::Below => {
                let mut found = vec![value];
                entries(value).into_iter().for_each(|entry| found.extend(self.step(step, entry)));
                found
            }
            Step::AnyOf(steps) => steps.iter().flat_map(|step| self.step(step, value)).collect(),
            Step::Where(left, operator, right) => {
                let holds = |item: &Value| match (self.operand(left, item), self.operand(right, item)) {
                    (Some(left), Some(right)) => operator.holds(left, right),
                    _ => false,
                };
                entries(value).into_iter().filter(|item| holds(item)).collect()
            }
            Step::Having(operand) => {
                entries(value).into_iter().filter(|item| self.operand(operand, item).is_some()).collect()
            }
        }
    }

    fn operand<'a>(&self, operand: &'a Operand, item: &'a Value) -> Option<&'a Value> {
        match operand {
            Operand::Path(path) => self.follow(path, item).into_iter().next(),
            Operand::Literal(value) => Some(value),
        }
    }
}

/// How many items or fields a value has.
fn width(value: &Value) -> usize {
    value.as_array().map_or_else(|| value.as_object().map_or(0, serde_json::Map::len), Vec::len)
}

fn entries(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn item(value: &Value, index: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let at = if index < 0 { index + items.len() as i64 } else { index };
    items.get(usize::try_from(at).ok()?)
}

fn slice(value: &Value, from: Option<i64>, to: Option<i64>, step: i64) -> Vec<&Value> {
    let Some(items) = value.as_array() else { return Vec::new() };
    let length = items.len() as i64;
    let place = |at: i64| if at < 0 { at + length } else { at }.clamp(0, length) as usize;
    let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(length)));
    let step = usize::try_from(step).unwrap_or(1).max(1);
    items.get(from..to).into_iter().flatten().step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_where_upstream_goes() {
        let object = json!({
            "metadata": {"annotations": {"example.com/a": "b", "x": "y"}},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "n": 3}, {"type": "Other", "status": "False", "n": 5},
            ]},
            "list": [1, 2, 3, 4],
        });
        let check = |path: &str, wanted: Value| {
            let path = JsonPath::parse(path).unwrap_or_else(|| panic!("{path} is a path"));
            assert_eq!(json!(path.find(&object)), wanted);
        };
        check(".status.conditions[?(@.type==\"Ready\")].status", json!(["True"]));
        check(".status.conditions[?(@.type=='Ready')].status", json!(["True"]));
        check("$.status.conditions[?(@.n > 3)].type", json!(["Other"]));
        check(".status.conditions[?(@.n)].n", json!([3, 5]));
        check(".status.conditions[*].type", json!(["Ready", "Other"]));
        check(".metadata.annotations.example\\.com/a", json!(["b"]));
        check(".metadata.annotations['example.com/a']", json!(["b"]));
        check(".list[0]", json!([1]));
        check(".list[-1]", json!([4]));
        check(".list[1:3]", json!([2, 3]));
        check(".list[0,2]", json!([1, 3]));
        check("..type", json!(["Ready", "Other"]));
        check(".absent.field", json!([]));
        check(".list[9]", json!([]));
        assert_eq!(JsonPath::parse(".a[b"), None);
        assert_eq!(JsonPath::parse(".a[?(@.x = 1)]"), None);
    }

    #[test]
    fn filters_end_somewhere_and_so_do_searches() {
        let nested = |times: usize| format!(".a{}{}", "[?(@.b".repeat(times), ")]".repeat(times));
        assert!(JsonPath::parse(&nested(NESTING_MAX)).is_some());
        assert_eq!(JsonPath::parse(&nested(200_000)), None);
        let deep = (0..100).fold(json!({"b": 1}), |inner, _| json!({"a": inner}));
        let found = |path: &str| JsonPath::parse(path).expect("it is a path").find(&deep).len();
        assert_eq!(found(&"..a".repeat(3)), (1..=98).map(|first| first * (first + 1) / 2).sum::<usize>());
        assert_eq!(found(&"..a".repeat(9)), 0);
        assert_eq!(found("..a[?(@..a[?(@..a[?(@..a[?(@..b)])])])]"), 0);
    }
}
