use expression::{Environment, Type};

use crate::{check, environment, outcome};

#[test]
fn faults_are_shown_where_they_are() {
    check(&[
        (
            "self.x == y",
            "ERROR: <input>:1:5: undefined field 'x'\n | self.x == y\n | ....^\n\
             ERROR: <input>:1:11: undeclared reference to 'y' (in container '')\n | self.x == y\n | ..........^",
        ),
        (
            "1 + 'a'",
            "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^",
        ),
        (
            "self.name.size(1)",
            "ERROR: <input>:1:15: found no matching overload for 'size' applied to 'string.(int)'\n \
             | self.name.size(1)\n | ..............^",
        ),
        (
            "'é' +\n 1 + true",
            "ERROR: <input>:1:5: found no matching overload for '_+_' applied to '(string, int)'\n \
             | 'é' +\n | .\u{ff0e}..^\n\
             ERROR: <input>:2:4: found no matching overload for '_+_' applied to '(!error!, bool)'\n |  1 + true\n \
             | ...^",
        ),
    ]);
}

#[test]
fn types_must_fit() {
    let faults: &[(&str, &str)] = &[
        ("[1, 'a']", "1:5: expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': 'c'}", "1:15: expected type 'int' but found 'string'"),
        ("[dyn('a'), 1]", "1:12: expected type 'dyn' but found 'int'"),
        ("self.replicas.x", "1:14: type 'int' does not support field selection"),
        (
            "self.replicas.all(x, x)",
            "1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("[1].all(x, x)", "1:12: expected type 'bool' but found 'int'"),
        ("1 && true", "1:1: expected type 'bool' but found 'int'"),
        ("nope(1)", "1:5: undeclared reference to 'nope' (in container '')"),
        ("self.name == 1", "1:11: found no matching overload for '_==_' applied to '(string, int)'"),
        ("self.tags == ['a', 1]", "1:20: expected type 'string' but found 'int'"),
        ("true ? 1 : 'a'", "1:6: found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("[1].map(x.y, x)", "1:10: argument is not an identifier"),
        ("[1].all(2, true)", "1:9: argument must be a simple name"),
        ("[1].all(x, x, true)", "1:12: duplicate variable name: x"),
        ("[1].all(__result__, true)", "1:9: iteration variable overwrites accumulator variable"),
        ("has(self)", "1:5: invalid argument to has() macro"),
        ("Nothing{a: 1}", "1:8: undeclared reference to 'Nothing' (in container '')"),
        ("[?1]", "1:3: expected type 'optional_type(int)' but found 'int'"),
        ("optional.of(1).size()", "1:20: found no matching overload for 'size' applied to 'optional_type(int).()'"),
        ("duration('nope')", "1:10: invalid duration argument"),
        ("timestamp('2024')", "1:11: invalid timestamp argument"),
        ("self.name.matches('(')", "1:19: invalid matches argument"),
        ("cel.bind(x, 1, x)", "1:1: undeclared reference to 'cel' (in container '')"),
    ];
    for (expression, expected) in faults {
        let text = outcome(&environment().compile(expression));
        let first = text.lines().next().unwrap_or_default();
        assert_eq!(first.trim_start_matches("ERROR: <input>:"), *expected, "{expression}");
    }
}

#[test]
fn syntax_must_hold() {
    let operand = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
                   BYTES, IDENTIFIER}";
    let faults: &[(&str, String)] = &[
        ("1 +", format!("1:4: Syntax error: mismatched input '<EOF>' expecting {operand}")),
        ("", format!("1:1: Syntax error: mismatched input '<EOF>' expecting {operand}")),
        ("a b", "1:3: Syntax error: extraneous input 'b' expecting <EOF>".to_owned()),
        ("1 + * 2", format!("1:5: Syntax error: extraneous input '*' expecting {operand}")),
        ("a = b", "1:3: Syntax error: token recognition error at: '= '".to_owned()),
        ("'\\xFh'", "1:1: Syntax error: token recognition error at: ''\\xFh'".to_owned()),
        ("f(", format!("1:3: Syntax error: mismatched input '<EOF>' expecting {}", operand.replace("'.'", "')', '.'"))),
        ("a b c", "1:3: Syntax error: mismatched input 'b' expecting <EOF>".to_owned()),
        ("1 $ 2", "1:3: Syntax error: token recognition error at: '$'".to_owned()),
        ("'open", "1:1: Syntax error: token recognition error at: ''open'".to_owned()),
        ("namespace == 1", "1:1: reserved identifier: namespace".to_owned()),
        ("99999999999999999999", "1:1: invalid int literal".to_owned()),
        ("'\\ud800'", "1:1: invalid unicode code point".to_owned()),
        ("(1", "1:3: Syntax error: mismatched input '<EOF>' expecting ')'".to_owned()),
    ];
    for (expression, expected) in faults {
        let text = outcome(&Environment::new().compile(expression));
        let first = text.lines().next().unwrap_or_default();
        assert_eq!(first.trim_start_matches("ERROR: <input>:"), *expected, "{expression}");
    }
}

#[test]
fn deep_and_long_expressions_are_refused() {
    let refused = |expression: String| outcome(&Environment::new().compile(&expression));
    let limit = "ERROR: <input>:-1:0: expression recursion limit exceeded: 250";
    assert_eq!(refused(format!("{}1{}", "(".repeat(300), ")".repeat(300))), limit);
    assert_eq!(refused(format!("{}1{}", "[".repeat(300), "]".repeat(300))), limit);
    assert_eq!(refused(vec!["1"; 300].join(" + ")), limit);
    assert_eq!(refused(format!("a{}", ".b".repeat(300))), limit);
    assert_eq!(refused(format!("{}1", "- ".repeat(300))), "1");
    assert_eq!(refused(vec!["true"; 5000].join(" && ")), "true");
    assert_eq!(
        refused("1".repeat(100_001)),
        "ERROR: <input>:-1:0: expression code point size exceeds limit: size: 100001, limit 100000"
    );
}

#[test]
fn what_is_just_not_too_deep_is_evaluated() {
    let nested = |count: usize| format!("{}1{}", "(".repeat(count), ")".repeat(count));
    assert_eq!(outcome(&Environment::new().compile(&nested(249))), "1");
    let maps = format!("{}1{}", "[1].map(x, ".repeat(60), ")".repeat(60));
    assert_eq!(outcome(&Environment::new().compile(&format!("{maps}.size()"))), "1");
    let lists = format!("{}1{}", "[".repeat(240), "]".repeat(240));
    assert_eq!(outcome(&Environment::new().compile(&format!("dyn({lists}) == dyn({lists})"))), "true");
    assert_eq!(outcome(&Environment::new().compile(&vec!["1"; 250].join(" + "))), "250");
}

#[test]
fn extensions_are_there_where_they_are_asked_for() {
    let bind = Environment::new().with_bind();
    assert_eq!(outcome(&bind.compile("cel.bind(x, 1 / 0, true || x > 0)")), "true");
    assert_eq!(outcome(&bind.compile("cel.bind(x, [1, 2], x + x)")), "[1, 2, 1, 2]");
    let mutation = Environment::new().with_mutation();
    let made = "Object{spec: Object.spec{replicas: 2}}.spec.replicas + 1";
    assert_eq!(outcome(&mutation.compile(made)), "3");
    let patch = "JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('x/y~z'), value: 1}.path";
    assert_eq!(outcome(&mutation.compile(patch)), "\"/a/x~1y~0z\"");
    let wrong = outcome(&mutation.compile("JSONPatch{op: 1}"));
    assert!(wrong.contains("expected type of field 'op' is 'string' but provided type is 'int'"), "{wrong}");
}

#[test]
fn a_variable_may_have_a_name_of_several_parts() {
    let environment = Environment::new().with_variable("variables.size", Type::Int);
    let program = environment.compile("has(variables.size) && variables.size > 1").expect("the expression compiles");
    let evaluated = program.evaluate(&[("variables.size", expression::Value::Int(2))], 100);
    assert_eq!(evaluated.value.expect("it evaluates").to_string(), "true");
}
