use expression::{CostEstimate, PER_CALL_LIMIT, Value};

use crate::{environment, object, shape};

fn actual(expression: &str) -> u64 {
    let program = environment().compile(expression).expect("the expression compiles");
    let (object, shape) = (object(), shape());
    let rule = Value::new(&object, &shape).expect("the object has the shape");
    let evaluated = program.evaluate(&[("self", rule), ("object", Value::any(&object))], PER_CALL_LIMIT);
    evaluated.value.expect("the expression evaluates");
    evaluated.cost
}

#[test]
fn evaluations_cost_what_upstream_counts() {
    let costs: &[(&str, u64)] = &[
        ("true", 0),
        ("[1, 2, 3] == [1, 2, 3]", 1),
        ("self.replicas <= self.maxReplicas", 5),
        ("has(self.name)", 1),
        ("has(self.labels.app)", 2),
        ("self.tags[0]", 3),
        ("self.tags[self.replicas - 2]", 3 + 3),
        ("self.labels['app'] == 'web'", 4),
        ("self.tags.map(x, x)", 2 + 3 * 13 + 1),
        ("self.tags.all(x, x != '')", 2 + 3 * (2 + 1 + 1) + 1),
        ("self.tags.exists(x, x == 'b')", 2 + 2 * (3 + 1 + 2) + 3 + 1),
        ("self.tags.exists_one(x, x == 'b')", 2 + 3 * 2 + 2 + 2),
        ("self.tags.filter(x, x == 'b')", 2 + 3 * 2 + 13 + 1),
        ("self.replicas in [1, 2, 3]", 2),
        ("self.name in self.tags", 2 + 2 + 3),
        ("self.name.startsWith('we')", 2 + 1),
        ("self.text.contains('world')", 2 + 2),
        ("self.text.matches('^h.*d$')", 2 + 2 * 2),
        ("self.text + self.name", 4 + 2),
        ("duration('1h') < self.period", 2 + 1),
        ("self.enabled ? self.name : self.text", 2 + 1),
        ("self.enabled && self.replicas > 1", 2 + 3),
        ("!self.enabled || self.replicas > 1", 3 + 3),
        ("self.numbers.sum()", 2 + 3),
        ("self.text.split(' ')", 2 + 3),
        ("self.tags.join(',')", 2 + 1),
        ("self.text.find('o')", 2 + 2),
        ("url('https://example.com/')", 2),
        ("quantity('1Gi').isLessThan(quantity('2Gi'))", 1 + 1 + 1),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", 1 + 1 + 1),
        ("optional.of(1).optMap(x, x + 1)", 1 + 1 + 1 + 1 + 1 + 1 + 1),
        ("self.numbers.sort()", 2 + 18 + 11),
        ("lists.range(5)", 5 + 11),
        ("sets.contains(self.tags, ['a'])", 2 + 1 + 3),
        ("object.items[0].key", 4),
        ("{'a': self.replicas}", 30 + 2),
    ];
    for (expression, expected) in costs {
        assert_eq!(actual(expression), *expected, "{expression}");
    }
}

#[test]
fn estimates_follow_sizes_and_types() {
    let costs: &[(&str, u64, u64)] = &[
        ("true", 0, 0),
        ("self.replicas <= self.maxReplicas", 5, 5),
        ("has(self.name)", 1, 1),
        ("self.name == 'web'", 3, 3),
        ("self.name.startsWith('we')", 3, 3),
        ("self.tags.all(x, x != '')", 3, 3 + 5 * (2 + 1 + 1)),
        ("self.tags.all(x, x == 'abcdefghijkl')", 3, 3 + 5 * (2 + 1 + 1 + 2)),
        ("self.tags.map(x, x)", 13, 13 + 5 * 13),
        ("self.labels.all(k, k != '')", 3, 3 + 4 * (2 + 2)),
        ("[1, 2, 3].all(x, x > 0)", 11 + 3 * 3, 11 + 3 * 5),
        ("self.enabled && self.replicas > 1", 2, 5),
        ("self.name.matches('^[a-z]+$')", 2 + 2, 2 + 5 * 2),
        ("self.name + self.name", 4, 4 + 8),
        ("self.text.contains(self.name)", 4, 4 + 314_573 * 4),
        ("quantity(self.name).isInteger()", 3, 2 + 4 + 1),
        ("url(self.name).getHost()", 3, 2 + 4 + 1),
        ("self.numbers.sum()", 2, 2 + 1_572_863),
        ("self.tags.join(',')", 2, 2 + 41),
    ];
    for (expression, min, max) in costs {
        let estimate = environment().estimate(expression).expect("the expression compiles");
        assert_eq!(estimate, CostEstimate { min: *min, max: *max }, "{expression}");
    }
}

#[test]
fn what_has_no_bound_is_dear() {
    let estimate = environment().estimate("object.items.all(x, x.value > 0)").expect("the expression compiles");
    assert_eq!(estimate.max, u64::MAX);
}

#[test]
fn estimates_hold() {
    let expressions = [
        "self.tags.all(x, x.startsWith('a') || self.labels.exists(k, k == x))",
        "self.tags.map(x, x + x).filter(x, x.size() > 1).join(',')",
        "self.items.exists(i, i.value > 1 && i.key.matches('^t'))",
        "self.text.replace('l', 'LL').split(' ').size() == 2",
        "self.numbers.sort() == [1, 2, 3] && self.set.indexOf('y') == 1",
    ];
    for expression in expressions {
        let estimate = environment().estimate(expression).expect("the expression compiles");
        let actual = actual(expression);
        assert!(actual <= estimate.max, "{expression}: {actual} of {estimate:?}");
    }
}
