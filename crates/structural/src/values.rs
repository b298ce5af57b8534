//! Values are what their schema says, in the words of kube-openapi's validation.

use machinery::field::{Error, ErrorKind, ErrorList, Path};
use serde_json::{Map, Value};

use crate::correlated::Correlated;
use crate::number;
use crate::schema::{Additional, Checks, Schema, Type};

impl Schema {
    /// What is wrong with a value at `path`. Along `correlated`, what was there before is forgiven.
    pub fn check(&self, path: &Path, value: &Value, correlated: Option<&Correlated<'_>>) -> ErrorList {
        let outcome = self.outcome(value, "", correlated);
        outcome.faults.into_iter().map(|fault| fault.into_error(path)).collect()
    }
}

/// What is wrong with one value.
#[derive(Clone, Debug)]
struct Fault {
    /// As the text names it, from where the check began; nothing for faults that name no field.
    name: Option<String>,
    kind: ErrorKind,
    value: Value,
    text: String,
    /// The limits or values that are allowed, where an error shows them instead of the text.
    allowed: Vec<String>,
    limit: i64,
}

impl Fault {
    fn new(kind: ErrorKind, name: &str, value: impl Into<Value>, text: String) -> Self {
        Self { name: Some(name.to_owned()), kind, value: value.into(), text, allowed: Vec::new(), limit: 0 }
    }

    /// About no field in particular.
    fn general(text: String) -> Self {
        Self { name: None, kind: ErrorKind::Invalid, value: "".into(), text, allowed: Vec::new(), limit: 0 }
    }

    fn into_error(self, path: &Path) -> Error {
        let below = self.name.as_deref().map(|name| name.trim_start_matches('.')).filter(|name| !name.is_empty());
        let path = below.map_or_else(|| path.clone(), |name| path.child(name));
        let count = usize::try_from(self.limit).unwrap_or(0);
        match self.kind {
            ErrorKind::Required => Error::required(&path, ""),
            ErrorKind::NotSupported => {
                let allowed: Vec<&str> = self.allowed.iter().map(String::as_str).collect();
                Error::not_supported(&path, self.value, &allowed)
            }
            ErrorKind::TooLong => Error::too_long(&path, count),
            ErrorKind::TooMany => Error::too_many(&path, self.value.as_u64().unwrap_or(0) as usize, count),
            kind => Error { kind, ..Error::invalid(&path, self.value, self.text) },
        }
    }
}

/// Faults of one value that are told. A body of a few megabytes can have millions, each with its path.
pub(crate) const FAULTS_MAX: usize = 1000;

/// Faults, each once, and how much fitted: of alternatives that fail, the one is told of which most fitted.
#[derive(Debug, Default)]
struct Outcome {
    faults: Vec<Fault>,
    matches: usize,
}

impl Outcome {
    fn fail(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX && self.faults.iter().all(|known| known.text != fault.text) {
            self.faults.push(fault);
        }
    }

    fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        other.faults.into_iter().for_each(|fault| self.fail(fault));
    }

    fn fits(&self) -> bool {
        self.faults.is_empty()
    }
}

impl Schema {
    /// What is wrong and was not wrong in the same way before.
    fn outcome(&self, value: &Value, path: &str, correlated: Option<&Correlated<'_>>) -> Outcome {
        let outcome = self.judge(value, path, correlated);
        let forgiven = !outcome.fits() && correlated.is_some_and(Correlated::is_same);
        if forgiven { Outcome::default() } else { outcome }
    }

    fn judge(&self, value: &Value, path: &str, correlated: Option<&Correlated<'_>>) -> Outcome {
        let mut outcome = Outcome::default();
        self.check_type(value, path, &mut outcome);
        if value.is_null() {
            self.check_allowed(value, path, &mut outcome);
        } else {
            self.check_within(value, path, correlated, &mut outcome);
        }
        outcome
    }

    fn check_within(&self, value: &Value, path: &str, correlated: Option<&Correlated<'_>>, outcome: &mut Outcome) {
        if let Some(checks) = &self.checks {
            outcome.merge(checks.junctors(value, path, correlated));
        }
        outcome.matches += 1;
        match (value, self.checks.as_deref()) {
            (Value::String(text), Some(checks)) => check_text(text, checks, path, outcome),
            (Value::Number(number), Some(checks)) => {
                let of = self.of.filter(|_| !self.int_or_string);
                for (text, general) in number::check(number, of, checks, path) {
                    let fault = if general {
                        Fault::general(text)
                    } else {
                        Fault::new(ErrorKind::Invalid, path, value.clone(), text)
                    };
                    outcome.fail(fault);
                }
                outcome.matches += 1;
            }
            (Value::Array(items), _) => self.check_items(items, path, correlated, outcome),
            _ => {}
        }
        self.check_allowed(value, path, outcome);
        if let Value::Object(object) = value {
            self.check_object(object, path, correlated, outcome);
        }
        outcome.matches += 1;
    }

    fn check_type(&self, value: &Value, path: &str, outcome: &mut Outcome) {
        let wanted = match (self.int_or_string, self.of) {
            (true, _) => "integer,string",
            (false, Some(of)) => of.name(),
            (false, None) => return,
        };
        let of_texts =
            self.checks.as_ref().and_then(|checks| checks.format.as_ref()).filter(|format| format.is_of_texts());
        let is_plain = matches!(value, Value::String(_) | Value::Array(_));
        let fits = match (value, self.of) {
            (Value::Null, _) => self.nullable,
            // A format of texts says all about texts and lists.
            _ if of_texts.is_some() && is_plain && !self.int_or_string => true,
            (Value::String(_), _) if self.int_or_string => true,
            (Value::Number(number), _) if self.int_or_string => is_integer(number),
            (_, _) if self.int_or_string => false,
            (Value::String(_), Some(Type::String))
            | (Value::Bool(_), Some(Type::Boolean))
            | (Value::Array(_), Some(Type::Array))
            | (Value::Object(_), Some(Type::Object))
            | (Value::Number(_), Some(Type::Number)) => true,
            (Value::Number(number), Some(Type::Integer)) => is_integer(number),
            _ => false,
        };
        if fits {
            outcome.matches += 1;
            return;
        }
        let found = found(value);
        outcome.fail(Fault::new(
            ErrorKind::TypeInvalid,
            path,
            found,
            format!("{path} in body must be of type {wanted}: {found:?}"),
        ));
    }

    fn check_allowed(&self, value: &Value, path: &str, outcome: &mut Outcome) {
        let Some(checks) = self.checks.as_ref().filter(|checks| !checks.allowed.is_empty()) else { return };
        if checks.allowed.iter().any(|allowed| number::equal(allowed, value)) {
            return;
        }
        let show = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let allowed: Vec<String> = checks.allowed.iter().map(show).collect();
        let text = format!("{path} in body should be one of [{}]", allowed.join(" "));
        outcome.fail(Fault { allowed, ..Fault::new(ErrorKind::NotSupported, path, value.clone(), text) });
    }

    fn check_items(&self, items: &[Value], path: &str, correlated: Option<&Correlated<'_>>, outcome: &mut Outcome) {
        if let Some(of) = &self.items {
            for (index, item) in items.iter().enumerate() {
                let correlated = correlated.and_then(|of| of.item(index));
                outcome.merge(of.outcome(item, &format!("{path}[{index}]"), correlated.as_ref()));
            }
        }
        let count = items.len() as i64;
        if let Some(checks) = &self.checks {
            if let Some(limit) = checks.min_items.filter(|limit| count < *limit) {
                let text = format!("{path} in body should have at least {limit} items");
                outcome.fail(Fault::new(ErrorKind::Invalid, path, count, text));
            }
            if let Some(limit) = checks.max_items.filter(|limit| count > *limit) {
                let text = format!("{path} in body should have at most {limit} items");
                outcome.fail(Fault { limit, ..Fault::new(ErrorKind::TooMany, path, count, text) });
            }
        }
        outcome.matches += 1;
    }

    fn check_object(
        &self,
        object: &Map<String, Value>,
        path: &str,
        correlated: Option<&Correlated<'_>>,
        outcome: &mut Outcome,
    ) {
        let count = object.len() as i64;
        if let Some(checks) = &self.checks {
            if let Some(limit) = checks.min_properties.filter(|limit| count < *limit) {
                let text = format!("{path} in body should have at least {limit} properties");
                outcome.fail(Fault::new(ErrorKind::Invalid, path, count, text));
            }
            if let Some(limit) = checks.max_properties.filter(|limit| count > *limit) {
                let text = format!("{path} in body should have at most {limit} properties");
                outcome.fail(Fault { limit, ..Fault::new(ErrorKind::TooMany, path, count, text) });
            }
        }
        for (name, value) in object {
            let known = self.properties.get(name.as_str());
            let below = if known.is_some() && path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match (known.or_else(|| self.additional()), &self.additional) {
                (Some(of), _) => {
                    let is_type = path.is_empty() && ["apiVersion", "kind"].contains(&name.as_str());
                    let correlated = correlated.filter(|_| !is_type).and_then(|of| of.field(name));
                    outcome.merge(of.outcome(value, &below, correlated.as_ref()));
                }
                (None, Additional::Any(false)) => {
                    let text = format!("{path}.{name} in body is a forbidden property");
                    outcome.fail(Fault::new(ErrorKind::Invalid, path, name.as_str(), text));
                }
                (None, _) => {}
            }
        }
        let required = self.checks.iter().flat_map(|checks| &checks.required);
        for name in required.filter(|name| !object.contains_key(&***name)) {
            let below = format!("{path}.{name}");
            outcome.fail(Fault::new(ErrorKind::Required, &below, Value::Null, format!("{below} in body is required")));
        }
    }
}

fn is_integer(number: &serde_json::Number) -> bool {
    number.is_i64() || number.as_f64().is_some_and(number::is_whole)
}

/// What a value is called.
fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(number) if !number.is_i64() => "number",
        Value::Number(_) => "integer",
    }
}

/// The first fault counts; the format is looked at besides.
fn check_text(text: &str, checks: &Checks, path: &str, outcome: &mut Outcome) {
    let length = text.chars().count() as i64;
    let too_long = checks.max_length.filter(|limit| length > *limit);
    let too_short = checks.min_length.filter(|limit| length < *limit);
    if let Some(limit) = too_long {
        let said = format!("{path} in body should be at most {limit} chars long");
        outcome.fail(Fault { limit, ..Fault::new(ErrorKind::TooLong, path, text, said) });
    } else if let Some(limit) = too_short {
        let said = format!("{path} in body should be at least {limit} chars long");
        outcome.fail(Fault::new(ErrorKind::Invalid, path, text, said));
    } else if let Some(pattern) = &checks.pattern {
        let wanted = match pattern.regex() {
            Ok(regex) if regex.is_match(text) => None,
            Ok(_) => Some(pattern.text.to_string()),
            Err(why) => Some(format!("{}, but pattern is invalid: {why}", pattern.text)),
        };
        if let Some(wanted) = wanted {
            let said = format!("{path} in body should match '{wanted}'");
            outcome.fail(Fault::new(ErrorKind::Invalid, path, text, said));
        }
    }
    if let Some(format) = checks.format.as_ref().filter(|format| format.accepts(text) == Some(false)) {
        let said = format!("{path} in body must be of type {}: {text:?}", format.name);
        outcome.fail(Fault::new(ErrorKind::TypeInvalid, path, text, said));
    }
}

impl Checks {
    fn junctors(&self, value: &Value, path: &str, correlated: Option<&Correlated<'_>>) -> Outcome {
        let mut outcome = Outcome::default();
        self.any(value, path, correlated, &mut outcome);
        self.one(value, path, correlated, &mut outcome);
        self.all(value, path, correlated, &mut outcome);
        if self.not.as_ref().is_some_and(|not| not.judge(value, path, correlated).fits()) {
            outcome.fail(Fault::general(format!("{path:?} must not validate the schema (not)")));
        }
        outcome
    }

    fn any(&self, value: &Value, path: &str, correlated: Option<&Correlated<'_>>, outcome: &mut Outcome) {
        let mut best: Option<Outcome> = None;
        for schema in &self.any_of {
            let tried = schema.judge(value, path, correlated);
            if tried.fits() {
                return outcome.merge(tried);
            }
            keep_best(&mut best, tried);
        }
        if let Some(best) = best {
            outcome.fail(Fault::general(format!("{path:?} must validate at least one schema (anyOf)")));
            outcome.merge(best);
        }
    }

    fn one(&self, value: &Value, path: &str, correlated: Option<&Correlated<'_>>, outcome: &mut Outcome) {
        if self.one_of.is_empty() {
            return;
        }
        let (fitting, failing): (Vec<Outcome>, Vec<Outcome>) =
            self.one_of.iter().map(|schema| schema.judge(value, path, correlated)).partition(Outcome::fits);
        let count = fitting.len();
        if let ([_], Some(only)) = (fitting.as_slice(), fitting.first()) {
            outcome.matches += only.matches;
            return;
        }
        let found =
            if count == 0 { "Found none valid".to_owned() } else { format!("Found {count} valid alternatives") };
        outcome.fail(Fault::general(format!("{path:?} must validate one and only one schema (oneOf). {found}")));
        if count == 0 {
            let mut best = None;
            failing.into_iter().for_each(|tried| keep_best(&mut best, tried));
            best.into_iter().for_each(|best| outcome.merge(best));
        }
    }

    fn all(&self, value: &Value, path: &str, correlated: Option<&Correlated<'_>>, outcome: &mut Outcome) {
        let mut fitting = 0;
        for schema in &self.all_of {
            let tried = schema.judge(value, path, correlated);
            fitting += usize::from(tried.fits());
            outcome.merge(tried);
        }
        if fitting != self.all_of.len() {
            let none = if fitting == 0 { ". None validated" } else { "" };
            outcome.fail(Fault::general(format!("{path:?} must validate all the schemas (allOf){none}")));
        }
    }
}

/// The first of those that fitted most.
fn keep_best(best: &mut Option<Outcome>, tried: Outcome) {
    if best.as_ref().is_none_or(|best| tried.matches > best.matches) {
        *best = Some(tried);
    }
}
