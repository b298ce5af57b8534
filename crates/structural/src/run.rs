//! Rules at work (upstream: schema/cel/validation.go).

use expression::{Error as Failure, PER_CALL_LIMIT, RUNTIME_BUDGET, Shape, Value as Cel};
use machinery::field::{Error, ErrorKind, ErrorList, Path};
use serde_json::Value;

use crate::correlated::Correlated;
use crate::rules::{Rule, Rules};
use crate::schema::Schema;
use crate::values::FAULTS_MAX;

/// Bytes that a message expression may give.
const MESSAGE_MAX: usize = 5 * 1024;

/// What rules on one object may still cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    left: u64,
    /// Nothing more is evaluated.
    over: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: RUNTIME_BUDGET, over: false }
    }
}

/// Said where an object is too wrong for rules.
pub const NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; correct the \
                               existing errors to complete validation";

/// Whether errors are such that rules can not look at the object.
pub fn blocks_rules(errors: &[Error]) -> bool {
    use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    errors.iter().any(|error| [NotSupported, Required, TooLong, TooMany, TypeInvalid].contains(&error.kind))
}

/// What an update is held against.
#[derive(Clone, Copy)]
struct Place<'a, 'c> {
    old: Option<&'a Value>,
    /// Nothing where this has no counterpart in the old object.
    correlated: Option<&'c Correlated<'a>>,
    /// Whether what is around it, and has a counterpart, is what it was.
    parent_is_same: bool,
}

impl Place<'_, '_> {
    fn forgives(&self) -> bool {
        self.correlated.map_or(self.parent_is_same, Correlated::is_same)
    }
}

impl Schema {
    /// Runs the rules on an object. Warnings are errors that are forgiven as the update did not cause them.
    pub fn check_rules<'a>(
        &'a self,
        path: &Path,
        value: &'a Value,
        old: Option<&'a Value>,
        correlated: Option<&Correlated<'a>>,
        budget: &mut Budget,
        warnings: &mut Vec<String>,
    ) -> ErrorList {
        let mut run = Run { budget, warnings, errors: ErrorList::new() };
        let place = Place { old: old.filter(|old| !old.is_null()), correlated, parent_is_same: false };
        run.value(self, path, value, place, true);
        run.errors
    }
}

/// What rules are about.
struct At<'a, 'c> {
    schema: &'a Schema,
    path: &'c Path,
    value: &'a Value,
    place: Place<'a, 'c>,
}

impl<'a> At<'a, '_> {
    fn type_name(&self) -> &'static str {
        self.schema.of.map_or("", |of| of.name())
    }

    fn invalid(&self, text: String) -> Error {
        Error::invalid(self.path, self.type_name(), text)
    }

    /// The variables of a rule.
    fn bindings(&self, rule: &Rule, shape: &'a Shape) -> Result<Vec<(&'static str, Cel<'a>)>, Failure> {
        let read = |value: &'a Value| Cel::new(value, shape);
        let mut bindings = vec![("self", read(self.value)?)];
        let before = self.place.old.map(read).transpose()?;
        let before = if rule.optional_old_self { Some(Cel::optional(before)) } else { before };
        bindings.extend(before.map(|before| ("oldSelf", before)));
        Ok(bindings)
    }
}

struct Run<'r> {
    budget: &'r mut Budget,
    warnings: &'r mut Vec<String>,
    errors: ErrorList,
}

impl Run<'_> {
    fn value<'a>(&mut self, schema: &'a Schema, path: &Path, value: &'a Value, place: Place<'a, '_>, root: bool) {
        if value.is_null() || self.budget.over || self.told() >= FAULTS_MAX || !schema.has_rules() {
            return;
        }
        if let Some(rules) = &schema.rules {
            self.rules(rules, schema, path, value, place);
        }
        match value {
            Value::Array(items) => self.items(schema, path, items, place),
            Value::Object(object) => {
                for (name, field) in object {
                    let (of, below) = match (schema.properties.get(name.as_str()), schema.additional()) {
                        (Some(of), _) => (of, path.child(name)),
                        (None, Some(of)) => (of, path.key(name)),
                        (None, None) => continue,
                    };
                    let old = place.old.and_then(|old| old.get(name)).filter(|old| !old.is_null());
                    // The type of an object is converted, so that it can not be told whether it changed.
                    let is_type = root && ["apiVersion", "kind"].contains(&name.as_str());
                    let correlated = place.correlated.and_then(|of| of.field(name)).filter(|_| !is_type);
                    let parent_is_same = !is_type && place.forgives();
                    let within = Place { old, correlated: correlated.as_ref(), parent_is_same };
                    self.value(of, &below, field, within, false);
                }
            }
            _ => {}
        }
    }

    fn items<'a>(&mut self, schema: &'a Schema, path: &Path, items: &'a [Value], place: Place<'a, '_>) {
        let Some(of) = &schema.items else { return };
        for (index, item) in items.iter().enumerate() {
            let correlated = place.correlated.and_then(|of| of.item(index));
            let old = correlated.as_ref().map(Correlated::old);
            let within = Place { old, correlated: correlated.as_ref(), parent_is_same: place.forgives() };
            self.value(of, &path.index(index), item, within, false);
        }
    }

    /// How much is wrong already.
    fn told(&self) -> usize {
        self.errors.len() + self.warnings.len()
    }

    fn stop(&mut self, error: Error) {
        self.errors.push(error);
        self.budget.over = true;
    }

    fn rules<'a>(&mut self, rules: &'a Rules, schema: &'a Schema, path: &Path, value: &'a Value, place: Place<'a, '_>) {
        let at = At { schema, path, value, place };
        let Some(shape) = &rules.shape else {
            let why = "failed to convert to declType for CEL validation rules";
            return self.errors.push(at.invalid(format!("rule compiler initialization error: {why}")));
        };
        if self.budget.left == 0 {
            return self.stop(at.invalid(OUT_OF_BUDGET.to_owned()));
        }
        for rule in &rules.rules {
            if !self.budget.over {
                self.rule(rule, shape, &at);
            }
        }
    }

    fn rule<'a>(&mut self, rule: &'a Rule, shape: &'a Shape, at: &At<'a, '_>) {
        let program = match &rule.compiled.program {
            None => return,
            Some(Err(why)) => return self.errors.push(at.invalid(format!("rule compile error: {why}"))),
            Some(Ok(program)) => program,
        };
        if rule.compiled.uses_old_self && at.place.old.is_none() && !rule.optional_old_self {
            return;
        }
        let failed = |failure: Failure| at.invalid(format!("{failure} evaluating rule: {}", rule.shown()));
        let bindings = match at.bindings(rule, shape) {
            Ok(bindings) => bindings,
            Err(failure) => return self.errors.push(failed(failure)),
        };
        let evaluated = program.evaluate(bindings.as_slice(), PER_CALL_LIMIT);
        if evaluated.cost > self.budget.left {
            return self.stop(at.invalid(OUT_OF_BUDGET.to_owned()));
        }
        self.budget.left -= evaluated.cost;
        match evaluated.value {
            Ok(Cel::Bool(true)) => {}
            Ok(_) => self.fault(rule, at, bindings.as_slice()),
            Err(Failure::CostLimit) => self.stop(at.invalid(format!(
                "'{}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                Failure::CostLimit,
                rule.shown()
            ))),
            Err(Failure::NoOverload) => self.errors.push(at.invalid(format!(
                "'{}': call arguments did not match a supported operator, function or macro signature for rule: {}",
                Failure::NoOverload,
                rule.shown()
            ))),
            Err(failure) => self.errors.push(failed(failure)),
        }
    }

    /// What a rule says of a value that does not keep it.
    fn fault(&mut self, rule: &Rule, at: &At<'_, '_>, bindings: &[(&str, Cel<'_>)]) {
        let below = rule.compiled.field_path.as_deref();
        let path = below.map_or_else(|| at.path.clone(), |below| at.path.child(below));
        match self.message(rule, bindings) {
            Ok(message) => {
                let detail = message.unwrap_or_else(|| rule.fallback());
                self.tell(rule, at.place, rule.error(&path, at.schema, at.value, detail));
            }
            Err(why) => {
                self.tell(rule, at.place, Error::invalid(&path, at.type_name(), why));
                self.budget.over = true;
            }
        }
    }

    /// An error, or a warning where it is forgiven.
    fn tell(&mut self, rule: &Rule, place: Place<'_, '_>, error: Error) {
        if !rule.compiled.uses_old_self && place.forgives() {
            self.warnings.push(error.to_string());
        } else {
            self.errors.push(error);
        }
    }

    /// What the message expression gives; nothing where there is none or it fails. The error ends the run.
    fn message(&mut self, rule: &Rule, bindings: &[(&str, Cel<'_>)]) -> Result<Option<String>, String> {
        let Some(Ok(program)) = &rule.compiled.message else { return Ok(None) };
        let evaluated = program.evaluate(bindings, PER_CALL_LIMIT);
        if evaluated.cost > self.budget.left {
            return Err(
                "messageExpression evaluation failed due to running out of cost budget, no further validation \
                        rules will be run"
                    .to_owned(),
            );
        }
        if matches!(evaluated.value, Err(Failure::CostLimit)) {
            return Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {:?}",
                rule.message_expression
            ));
        }
        self.budget.left -= evaluated.cost;
        let message = evaluated.value.ok().and_then(|value| value.as_str().map(|text| text.trim().to_owned()));
        Ok(message.filter(|text| !text.is_empty() && text.len() <= MESSAGE_MAX && !text.contains('\n')))
    }
}

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

impl Rule {
    fn shown(&self) -> &str {
        if self.message.is_empty() { self.rule.trim() } else { self.message.trim() }
    }

    fn fallback(&self) -> String {
        if self.message.is_empty() { format!("failed rule: {}", self.shown()) } else { self.shown().to_owned() }
    }

    fn error(&self, path: &Path, schema: &Schema, value: &Value, detail: String) -> Error {
        let whole = matches!(schema.of, Some(crate::Type::Object | crate::Type::Array));
        match self.reason.as_deref() {
            Some("FieldValueForbidden") => Error::forbidden(path, detail),
            Some("FieldValueRequired") => Error::required(path, detail),
            Some("FieldValueDuplicate") if whole => Error::duplicate(path, Value::Null).without_value(),
            Some("FieldValueDuplicate") => Error::duplicate(path, value.clone()),
            _ if whole => Error::invalid(path, Value::Null, detail).without_value(),
            _ => Error::invalid(path, value.clone(), detail),
        }
    }
}
