use crate::check;

#[test]
fn literals_are_what_they_say() {
    check(&[
        ("1", "1"),
        ("-0x1f", "-31"),
        ("7u", "7u"),
        ("1.5e3", "1500"),
        (".5", "0.5"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("'it\\'s'", "\"it's\""),
        (r#""\u00e9\x41\101""#, "\"éAA\""),
        (r"r'\d'", r#""\\d""#),
        ("'''two\nlines'''", "\"two\\nlines\""),
        (r"b'\xff\101'", r#"b"\377\101""#),
        ("[1, 2, 3,]", "[1, 2, 3]"),
        ("{'b': 2, 'a': 1}", "{\"a\": 1, \"b\": 2}"),
        ("null", "null"),
        ("true // and so on", "true"),
    ]);
}

#[test]
fn arithmetic_is_exact_or_fails() {
    check(&[
        ("7 / 2 * 2 + 7 % 2", "7"),
        ("-7 / 2", "-3"),
        ("2 - -2", "4"),
        ("--2", "2"),
        ("1.0 / 0.0", "double(\"Infinity\")"),
        ("9223372036854775807 + 1", "error: integer overflow"),
        ("0u - 1u", "error: unsigned integer overflow"),
        ("1 / 0", "error: division by zero"),
        ("1 % 0", "error: modulus by zero"),
        ("'a' + 'b'", "\"ab\""),
        ("[1] + [2] + []", "[1, 2]"),
        ("b'a' + b'b'", "b\"\\141\\142\""),
    ]);
}

#[test]
fn numbers_compare_across_types() {
    check(&[
        ("1 < 1.5", "true"),
        ("2u >= 3", "false"),
        ("1 == dyn(1.0)", "true"),
        ("dyn(1u) == dyn(1)", "true"),
        ("dyn(1) in [1.0, 2.0]", "true"),
        ("dyn('1') == dyn(1)", "false"),
        ("{1: 'a'}[dyn(1.0)]", "\"a\""),
        ("'b' > 'a'", "true"),
        ("false < true", "true"),
        ("double('NaN') == double('NaN')", "false"),
        ("double('NaN') < 1.0", "error: NaN values cannot be ordered"),
    ]);
}

#[test]
fn logic_absorbs_errors() {
    check(&[
        ("false && 1 / 0 == 1", "false"),
        ("1 / 0 == 1 && false", "false"),
        ("1 / 0 == 1 || true", "true"),
        ("1 / 0 == 1 || false", "error: division by zero"),
        ("true ? 1 : 2", "1"),
        ("1 / 0 == 1 ? 1 : 2", "error: division by zero"),
        ("!true || !!true", "true"),
        ("[1, 0].exists(x, 1 / x == 1)", "true"),
        ("[0, 1].all(x, 1 / x == 2)", "false"),
        ("[0, 1].all(x, 1 / x == 1)", "error: division by zero"),
    ]);
}

#[test]
fn macros_fold_lists_and_maps() {
    check(&[
        ("[1, 2, 3].all(x, x > 0)", "true"),
        ("[].all(x, x > 0)", "true"),
        ("{'a': 1}.exists(k, k == 'a')", "true"),
        ("[1, 2, 3].exists_one(x, x > 2)", "true"),
        ("[1, 2, 2].existsOne(x, x == 2)", "false"),
        ("[1, 2, 3].map(x, x * 2)", "[2, 4, 6]"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", "[4, 6]"),
        ("[1, 2, 3].filter(x, x != 2)", "[1, 3]"),
        ("[[1, 2], [3]].map(x, x.map(y, y + 1))", "[[2, 3], [4]]"),
        ("[1, 2].map(x, [3].map(x, x))", "[[3], [3]]"),
        ("has({'a': 1}.a) && !has({'a': 1}.b)", "true"),
        ("['a', 'b'].transformList(i, v, string(i) + v)", "[\"0a\", \"1b\"]"),
        ("[1, 2].transformList(i, v, i > 0, v)", "[2]"),
        ("{'a': 1}.transformMap(k, v, v + 1)", "{\"a\": 2}"),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, k)", "{\"b\": \"b\"}"),
        ("{'a': 'x'}.transformMapEntry(k, v, {v: k})", "{\"x\": \"a\"}"),
        ("[1, 1].transformMapEntry(i, v, {v: i})", "error: insert failed: key 1 already exists"),
        ("[3, 4].all(i, v, v > i)", "true"),
        ("{'a': 1}.exists(k, v, v == 1)", "true"),
        ("[3, 4].existsOne(i, v, v == 4)", "true"),
    ]);
}

#[test]
fn optionals_carry_absence() {
    check(&[
        ("{'a': 1}.?a", "optional.of(1)"),
        ("{'a': 1}.?b", "optional.none()"),
        ("{'a': {'b': 2}}.?a.b", "optional.of(2)"),
        ("{'a': {'b': 2}}.?x.b.orValue(7)", "7"),
        ("[1, 2][?1].value()", "2"),
        ("[1, 2][?5].hasValue()", "false"),
        ("optional.none().value()", "error: optional.none() dereference"),
        ("optional.of(1).or(optional.of(2))", "optional.of(1)"),
        ("optional.ofNonZeroValue('')", "optional.none()"),
        ("optional.of(2).optMap(x, x + 1)", "optional.of(3)"),
        ("optional.none().optMap(x, x + 1)", "optional.none()"),
        ("{'a': {'b': 2}}.?a.optFlatMap(x, x.?b)", "optional.of(2)"),
        ("[?optional.of(1), ?optional.none(), 2]", "[1, 2]"),
        ("{?'a': optional.none(), 'b': 1}", "{\"b\": 1}"),
        ("[1, 2].first()", "optional.of(1)"),
        ("[].last()", "optional.none()"),
        ("optional.unwrap([optional.of(1), optional.none()])", "[1]"),
        ("[optional.of(1)].unwrapOpt()", "[1]"),
        ("has({'a': {}}.?a.b)", "false"),
    ]);
}

#[test]
fn values_convert() {
    check(&[
        ("int('42') + int(2.9) + int(3u)", "47"),
        ("int('x')", "type conversion error from 'string' to 'int'"),
        ("int(dyn('x'))", "type conversion error from 'string' to 'int'"),
        ("uint(-1)", "unsigned integer overflow"),
        ("string(1.5) + string(true) + string(b'x')", "\"1.5truex\""),
        ("string(1e21)", "\"1e+21\""),
        ("bool('true')", "true"),
        ("double('1e3')", "1000"),
        ("bytes('é')", "b\"\\303\\251\""),
        ("type(1) == int && type('') == string && type([]) == list", "true"),
        ("type(type(1)) == type", "true"),
        ("string(duration('90s'))", "\"90s\""),
        ("string(timestamp('2024-01-01T00:00:00Z'))", "\"2024-01-01T00:00:00Z\""),
        ("timestamp(0)", "timestamp(\"1970-01-01T00:00:00Z\")"),
        ("int(timestamp('2024-01-01T00:00:00Z'))", "1704067200"),
    ]);
}

#[test]
fn times_have_parts() {
    check(&[
        ("timestamp('2024-02-29T12:30:45.5Z').getMonth()", "1"),
        ("timestamp('2024-02-29T12:30:45.5Z').getDayOfMonth()", "28"),
        ("timestamp('2024-02-29T12:30:45.5Z').getDate()", "29"),
        ("timestamp('2024-02-29T12:30:45.5Z').getDayOfWeek()", "4"),
        ("timestamp('2024-02-29T12:30:45.5Z').getDayOfYear()", "59"),
        ("timestamp('2024-02-29T12:30:45.5Z').getMilliseconds()", "500"),
        ("timestamp('2024-02-29T23:30:00Z').getHours('+01:30')", "1"),
        ("timestamp('2024-07-01T12:00:00Z').getHours('Europe/Berlin')", "14"),
        ("timestamp('2024-07-01T12:00:00Z').getHours('Nowhere/At')", "error: unknown time zone Nowhere/At"),
        ("duration('1h30m').getMinutes()", "90"),
        ("duration('1.5s') + duration('500ms') == duration('2s')", "true"),
        ("timestamp('2024-01-01T00:00:00Z') + duration('24h')", "timestamp(\"2024-01-02T00:00:00Z\")"),
        ("timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z')", "duration(\"86400s\")"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "error: timestamp overflow"),
    ]);
}

#[test]
fn selections_fail_with_what_is_missing() {
    check(&[
        ("{'a': 1}.b", "error: no such key: b"),
        ("[1][3]", "error: index out of bounds: 3"),
        ("[1][-1]", "error: index out of bounds: -1"),
        ("dyn(1).a", "error: no such key: a"),
        ("dyn([1])['a']", "error: unsupported index type 'string' in list"),
        ("has(dyn(1).a)", "false"),
        ("dyn(1) + dyn('a')", "error: no such overload"),
        ("dyn(1).startsWith('a')", "error: no such overload: startsWith(int, string)"),
        ("dyn(true).all(x, x)", "error: got 'bool', expected iterable type"),
    ]);
}
