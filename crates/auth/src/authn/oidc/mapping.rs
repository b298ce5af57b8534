//! From the claims of a verified token to a user.

use std::sync::Arc;

use expression::{Environment, Form, PER_CALL_LIMIT, Program, Shape, Type, Value as Cel};
use machinery::UserInfo;
use serde_json::{Map, Value, json};

use crate::authn::CREDENTIAL_ID;

pub(super) type Claims = Map<String, Value>;

/// An expression, and what is said where it does not hold.
pub(super) struct Rule {
    pub text: String,
    pub message: String,
    pub program: Program,
}

/// Where a name or names come from.
pub(super) enum Source {
    Claim { name: String, prefix: String },
    Expression(Rule),
}

/// How claims become a user, and which must hold. Compiled once for each configuration.
#[derive(Default)]
pub(super) struct Mapping {
    pub username: Option<Source>,
    pub groups: Option<Source>,
    pub uid: Option<Source>,
    pub extra: Vec<(String, Rule)>,
    /// Claims that must have this value.
    pub required: Vec<(String, String)>,
    pub claim_rules: Vec<Rule>,
    pub user_rules: Vec<Rule>,
}

/// What expressions on claims see.
pub(super) fn claims_environment() -> Environment {
    Environment::new().with_variable("claims", Type::map(Type::String, Type::Dyn))
}

/// What expressions on users see.
pub(super) fn user_environment() -> Environment {
    Environment::new().with_shape("user", user_shape())
}

fn user_shape() -> Arc<Shape> {
    let text = || Shape::of(Form::String);
    let texts = || Shape::of(Form::List(Arc::new(text()), expression::Merge::Atomic));
    let extra = Shape::of(Form::Map(Arc::new(texts())));
    let fields = [("username", text()), ("uid", text()), ("groups", texts()), ("extra", extra)];
    Arc::new(Shape::object("kubernetes.UserInfo", fields))
}

impl Mapping {
    /// The user of these claims; the error is for logs and TokenReviews.
    pub fn user(&self, claims: Claims) -> Result<UserInfo, String> {
        let claims = Value::Object(claims);
        let mut user = UserInfo { name: self.username(&claims)?, ..UserInfo::default() };
        user.groups = self.groups(&claims)?;
        user.uid = self.uid(&claims)?;
        if let Some(id) = claims["jti"].as_str().filter(|id| !id.is_empty()) {
            user.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
        }
        for (key, rule) in &self.extra {
            let values = texts(&rule.evaluate("claims", &claims)?)
                .map_err(|why| format!("oidc: error evaluating extra claim expression: {}: {why}", rule.text))?;
            if !values.is_empty() {
                user.extra.insert(key.clone(), values);
            }
        }
        self.check_required(&claims)?;
        for rule in &self.claim_rules {
            rule.hold("claims", &claims)
                .map_err(|why| format!("oidc: error evaluating claim validation expression: {why}"))?;
        }
        self.check_user(&user)?;
        Ok(user.authenticated())
    }

    fn username(&self, claims: &Value) -> Result<String, String> {
        match &self.username {
            Some(Source::Expression(rule)) => {
                let failed = |why: String| format!("oidc: error evaluating username claim expression: {why}");
                match rule.evaluate("claims", claims).map_err(failed)? {
                    Value::String(name) if name.is_empty() => {
                        Err("oidc: empty username via CEL expression is not allowed".to_owned())
                    }
                    Value::String(name) => Ok(name),
                    _ => Err(failed("username claim expression must return a string".to_owned())),
                }
            }
            Some(Source::Claim { name, prefix }) => {
                let username =
                    text_claim(claims, name).map_err(|why| format!("oidc: parse username claims {name:?}: {why}"))?;
                if name == "email" {
                    check_verified(claims)?;
                }
                Ok(format!("{prefix}{username}"))
            }
            None => Err("oidc: no username claim is configured".to_owned()),
        }
    }

    fn groups(&self, claims: &Value) -> Result<Vec<String>, String> {
        match &self.groups {
            Some(Source::Claim { name, prefix }) if claims.get(name).is_some() => {
                let groups = match &claims[name] {
                    Value::String(one) => vec![one.clone()],
                    other => serde_json::from_value(other.clone())
                        .map_err(|error| format!("oidc: parse groups claim {name:?}: {error}"))?,
                };
                Ok(groups.into_iter().map(|group: String| format!("{prefix}{group}")).collect())
            }
            Some(Source::Expression(rule)) => {
                let groups = rule.evaluate("claims", claims).and_then(|value| texts(&value));
                groups.map_err(|why| format!("oidc: error evaluating group claim expression: {why}"))
            }
            _ => Ok(Vec::new()),
        }
    }

    fn uid(&self, claims: &Value) -> Result<String, String> {
        match &self.uid {
            Some(Source::Claim { name, .. }) => {
                text_claim(claims, name).map_err(|why| format!("oidc: parse uid claim {name:?}: {why}"))
            }
            Some(Source::Expression(rule)) => {
                let failed = |why: String| format!("oidc: error evaluating uid claim expression: {why}");
                match rule.evaluate("claims", claims).map_err(failed)? {
                    Value::String(uid) => Ok(uid),
                    _ => Err(failed("uid claim expression must return a string".to_owned())),
                }
            }
            None => Ok(String::new()),
        }
    }

    fn check_required(&self, claims: &Value) -> Result<(), String> {
        for (name, wanted) in &self.required {
            if claims.get(name).is_none() {
                return Err(format!("oidc: required claim {name} not present in ID token"));
            }
            let value = text_claim(claims, name).map_err(|why| format!("oidc: parse claim {name}: {why}"))?;
            if value != *wanted {
                return Err(format!(
                    "oidc: required claim {name} value does not match. Got = {value}, want = {wanted}"
                ));
            }
        }
        Ok(())
    }

    fn check_user(&self, user: &UserInfo) -> Result<(), String> {
        if self.user_rules.is_empty() {
            return Ok(());
        }
        let shown = json!({"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra});
        let failed = |why: String| format!("oidc: error evaluating user info validation rule: {why}");
        self.user_rules.iter().try_for_each(|rule| rule.hold("user", &shown)).map_err(failed)
    }
}

impl Rule {
    /// What it makes of a variable, as JSON.
    fn evaluate(&self, name: &str, value: &Value) -> Result<Value, String> {
        let failed = |error: &dyn std::fmt::Display| format!("expression '{}' resulted in error: {error}", self.text);
        let shape = user_shape();
        let bound = if name == "user" { Cel::new(value, &shape) } else { Ok(Cel::any(value)) };
        let bound = bound.map_err(|error| failed(&error))?;
        let evaluated = self.program.evaluate(&[(name, bound)], PER_CALL_LIMIT);
        evaluated.value.and_then(|value| value.to_json()).map_err(|error| failed(&error))
    }

    fn hold(&self, name: &str, value: &Value) -> Result<(), String> {
        match self.evaluate(name, value)? {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) => Err(format!("validation expression '{}' failed: {}", self.text, self.message)),
            _ => Err("validation expression must return a boolean".to_owned()),
        }
    }
}

/// If the token says whether the address was verified, it must have been.
fn check_verified(claims: &Value) -> Result<(), String> {
    match claims.get("email_verified") {
        None | Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => Err("oidc: email not verified".to_owned()),
        Some(other) => Err(format!("oidc: parse 'email_verified' claim: {other} is no boolean")),
    }
}

fn text_claim(claims: &Value, name: &str) -> Result<String, String> {
    match claims.get(name) {
        None => Err("claim not present".to_owned()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("{other} is no string")),
    }
}

/// A text or several, without empty ones.
fn texts(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || "expression must return a string or a list of strings".to_owned();
    let all = match value {
        Value::Null => Vec::new(),
        Value::String(one) => vec![one.clone()],
        Value::Array(several) => {
            let read: Option<Vec<_>> = several.iter().map(|of| of.as_str().map(str::to_owned)).collect();
            read.ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    Ok(all.into_iter().filter(|text| !text.is_empty()).collect())
}
