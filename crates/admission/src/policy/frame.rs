//! What policies of both kinds have: what they are about, their conditions, parameters and variables; and the
//! bindings that put them to use.

use expression::{Environment, Type};
use kinds::admissionregistration::expressions::{Offered, VARIABLES, environment, with_variables};
use machinery::selector::LabelSelector;
use machinery::{GroupVersion, GroupVersionKind, Object};
use serde_json::Value;

use crate::conditions::{Compiled, Conditions};
use crate::matching::Matching;

pub struct Frame {
    pub name: String,
    pub ignores_failures: bool,
    pub matching: Matching,
    pub conditions: Conditions,
    /// The kind of its parameters; none if it takes none.
    pub params: Option<GroupVersionKind>,
    /// In their order: each may refer to those before it.
    pub variables: Vec<Variable>,
}

pub struct Variable {
    pub name: String,
    pub value: Compiled,
}

/// What the expressions of a policy may refer to.
pub struct Environments {
    pub full: Environment,
    /// The same without the authorizer: for messages.
    pub plain: Environment,
}

impl Frame {
    pub fn compile(policy: &Object, patches: bool) -> (Self, Environments) {
        let none = Value::Null;
        let spec = policy.get(&["spec"]).unwrap_or(&none);
        let params = spec.get("paramKind").filter(|kind| kind.is_object()).map(|kind| {
            let text = |field: &str| kind[field].as_str().unwrap_or_default();
            let GroupVersion { group, version } = GroupVersion::parse(text("apiVersion"));
            GroupVersionKind::new(group, version, text("kind"))
        });
        let offered = |authorizer| Offered { params: params.is_some(), authorizer, patches };
        let [full, plain] = [true, false].map(|authorizer| with_variables(environment(offered(authorizer))));
        let mut environments = Environments { full, plain };
        let variables = spec["variables"].as_array().into_iter().flatten();
        let variables = variables.map(|variable| Variable::compile(variable, &mut environments)).collect();
        let frame = Self {
            name: policy.name().to_owned(),
            ignores_failures: spec["failurePolicy"] == "Ignore",
            matching: Matching::of_policy(&spec["matchConstraints"]),
            conditions: Conditions::new(&spec["matchConditions"], params.is_some()),
            params,
            variables,
        };
        (frame, environments)
    }
}

impl Variable {
    /// Makes the variable known to what is compiled after it.
    fn compile(variable: &Value, environments: &mut Environments) -> Self {
        let text = |field: &str| variable[field].as_str().unwrap_or_default();
        let (name, value) = (text("name").to_owned(), Compiled::new(&environments.full, text("expression")));
        let of = value.program.as_ref().map_or(Type::Dyn, |program| program.result().clone());
        environments.full.add_field(VARIABLES, &name, of.clone());
        environments.plain.add_field(VARIABLES, &name, of);
        Self { name, value }
    }
}

pub struct Binding {
    pub name: String,
    pub policy: String,
    /// None: all that the policy is about.
    pub matching: Option<Matching>,
    pub params: Option<ParamRef>,
    pub actions: Vec<Action>,
}

/// Which parameters a binding brings.
pub struct ParamRef {
    /// Empty: the namespace of the request.
    pub namespace: String,
    pub which: Which,
    /// Whether requests are refused while there are none.
    pub needed: bool,
}

pub enum Which {
    Named(String),
    Selected(LabelSelector),
}

/// What a failed validation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Deny,
    Warn,
    Audit,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Self::Deny => "Deny",
            Self::Warn => "Warn",
            Self::Audit => "Audit",
        }
    }
}

impl Binding {
    pub fn compile(binding: &Object) -> Self {
        let actions = [Action::Deny, Action::Warn, Action::Audit];
        let listed = binding.list(&["spec", "validationActions"]).iter();
        let action = |name: &Value| actions.into_iter().find(|action| *name == action.name());
        let given = |field: &str| binding.get(&["spec", field]).filter(|value| value.is_object());
        Self {
            name: binding.name().to_owned(),
            policy: binding.str(&["spec", "policyName"]).to_owned(),
            matching: given("matchResources").map(Matching::of_binding),
            params: given("paramRef").map(ParamRef::new),
            actions: listed.filter_map(action).collect(),
        }
    }
}

impl ParamRef {
    fn new(reference: &Value) -> Self {
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let selector =
            || LabelSelector::from_object(&reference["selector"]).unwrap_or_else(|_| LabelSelector::nothing());
        Self {
            namespace: text("namespace").to_owned(),
            which: match text("name") {
                "" => Which::Selected(selector()),
                name => Which::Named(name.to_owned()),
            },
            needed: text("parameterNotFoundAction") == "Deny",
        }
    }
}
