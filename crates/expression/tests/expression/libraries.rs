use std::sync::{Arc, Mutex};

use expression::{Attributes, Authorizer, Decision, Environment, PER_CALL_LIMIT, Type};

use crate::check;

#[test]
fn strings_are_taken_apart() {
    check(&[
        ("'tacocat'.charAt(3)", "\"o\""),
        ("'abc'.charAt(4)", "error: index out of range: 4"),
        ("'héllo'.indexOf('l')", "2"),
        ("'hello mellow'.indexOf('ello', 2)", "7"),
        ("'hello mellow'.lastIndexOf('ello')", "7"),
        ("'hello mellow'.lastIndexOf('ello', 6)", "1"),
        ("'hello'.lastIndexOf('x')", "-1"),
        ("'a,b,c'.split(',')", "[\"a\", \"b\", \"c\"]"),
        ("'a,b,c'.split(',', 2)", "[\"a\", \"b,c\"]"),
        ("'abc'.split('')", "[\"a\", \"b\", \"c\"]"),
        ("'abc'.split(',', 0)", "[]"),
        ("['x', 'y'].join('-') + ['a', 'b'].join()", "\"x-yab\""),
        ("'hello'.substring(1, 3) + 'hello'.substring(4)", "\"elo\""),
        ("'hello'.substring(3, 1)", "error: invalid substring range. start: 3, end: 1"),
        ("' x\\n'.trim()", "\"x\""),
        ("'aBÉ'.upperAscii() + 'AbÉ'.lowerAscii()", "\"ABÉabÉ\""),
        ("'a-a-a'.replace('a', 'b', 2)", "\"b-b-a\""),
        ("'ab'.replace('', '_')", "\"_a_b_\""),
        ("strings.quote('a\"b\\n')", r#""\"a\\\"b\\n\"""#),
        ("'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')", "true"),
    ]);
}

#[test]
fn templates_are_filled_in() {
    check(&[
        ("'%s has %s'.format(['a', 'b'])", "\"a has b\""),
        ("'%d%%'.format([5])", "\"5%\""),
        ("'%.2f'.format([3.14159])", "\"3.14\""),
        ("'%b %o'.format([5, 8])", "\"101 10\""),
        ("'%x %X'.format([255, 255])", "\"ff FF\""),
        ("'%x'.format(['hi'])", "\"6869\""),
        ("'%s'.format([[1, 2]])", "\"[1, 2]\""),
        ("'%s'.format([{'a': 'b'}])", r#""{\"a\":\"b\"}""#),
        ("'%s %s'.format(['a'])", "error: index 1 out of range"),
        (
            "'%d'.format(['a'])",
            "error: error during formatting: decimal clause can only be used on integers, was given string",
        ),
        ("'%s and %d'.format([dyn('a'), 1])", "\"a and 1\""),
    ]);
}

#[test]
fn patterns_have_gos_syntax() {
    check(&[
        ("'abc123'.matches('^[a-z]+\\\\d+$')", "true"),
        ("matches('abc', 'b')", "true"),
        (r"'é'.matches('^\\w$')", "false"),
        (r"'a[b'.matches('[[]')", "true"),
        (r"'a b'.matches('\\bb')", "true"),
        (r"'x-1'.matches('^[\\w-]+$')", "true"),
        (r"'\u00a0'.matches('^\\D\\S$|^[\\D]$')", "true"),
        (r"'a.c'.matches('^\\Qa.c\\E$')", "true"),
        ("'abc 123 def'.find('[0-9]+')", "\"123\""),
        ("'abc'.find('[0-9]+')", "\"\""),
        ("'1 22 333'.findAll('[0-9]+')", "[\"1\", \"22\", \"333\"]"),
        ("'1 22 333'.findAll('[0-9]+', 2)", "[\"1\", \"22\"]"),
        ("'a'.find(object.name)", "\"\""),
        (
            "'a'.matches('a' + '{1000}{1000}{1000}')",
            "error: error parsing regexp: invalid nested repetition operator: `{1000}{1000}`",
        ),
        ("'{a}'.matches('^{a}$')", "true"),
    ]);
}

#[test]
fn lists_are_worked_on() {
    check(&[
        ("[1, 2, 2].isSorted() && !['b', 'a'].isSorted()", "true"),
        ("[1, 2, 3].sum() + [].sum()", "6"),
        ("[1.5, 2.0].sum()", "3.5"),
        ("[duration('1s'), duration('2s')].sum()", "duration(\"3s\")"),
        ("[3, 1, 2].min() + [3, 1, 2].max()", "4"),
        ("self.numbers.filter(x, x > 9).max()", "error: max called on empty list"),
        ("[1, 2, 2].indexOf(2) * 10 + [1, 2, 2].lastIndexOf(2)", "12"),
        ("[1, 2].indexOf(5)", "-1"),
        ("[3, 1, 2].sort()", "[1, 2, 3]"),
        ("self.items.sortBy(i, -i.value).map(i, i.key)", "[\"two\", \"one\"]"),
        ("[1, 2, 1].distinct()", "[1, 2]"),
        ("[1, 2, 3].reverse()", "[3, 2, 1]"),
        ("[1, 2, 3].slice(1, 2)", "[2]"),
        ("[1].slice(0, 5)", "error: cannot slice(0, 5), list is length 1"),
        ("[1].slice(1, 0)", "error: cannot slice(1, 0), start index must be less than or equal to end index"),
        ("[[1], [2, 3]].flatten()", "[1, 2, 3]"),
        ("[[[1], [2]], [[3]]].flatten(2)", "[1, 2, 3]"),
        ("lists.range(3)", "[0, 1, 2]"),
        ("sets.contains([1, 2, 3], [2]) && sets.equivalent([1, 1], [1]) && sets.intersects([1], [1, 2])", "true"),
    ]);
}

#[test]
fn urls_have_parts() {
    check(&[
        ("url('https://user@example.com:80/a b?k=v&k=w&x=%20+').getHost()", "\"example.com:80\""),
        ("url('HTTPS://[::1]:80/path').getScheme() + url('https://[::1]:80/path').getHostname()", "\"https::1\""),
        ("url('https://example.com:80/').getPort() + url('/path').getPort()", "\"80\""),
        ("url('https://example.com/with space/%41').getEscapedPath()", "\"/with%20space/%41\""),
        ("url('https://e.com/?k=v&k=w&x=%20+').getQuery()", r#"{"k": ["v", "w"], "x": ["  "]}"#),
        ("isURL('https://example.com') && isURL('/a') && !isURL('../a') && !isURL('a:b:c') == false", "true"),
        (
            "url('nope')",
            "error: URL parse error during conversion from string: parse \"nope\": invalid URI for request",
        ),
        (
            "url('http://a:x/')",
            "error: URL parse error during conversion from string: parse \"http://a:x/\": invalid port \":x\" after host",
        ),
        ("url('/a') == url('/a')", "true"),
    ]);
}

#[test]
fn addresses_and_networks_are_understood() {
    check(&[
        ("ip('127.0.0.1').family() + ip('::1').family()", "10"),
        ("isIP('1.2.3.4') && !isIP('1.2.3.04') && !isIP('::ffff:1.2.3.4')", "true"),
        ("ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')", "true"),
        ("ip('::').isUnspecified() && ip('127.0.0.1').isLoopback()", "true"),
        ("ip('224.0.0.1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast()", "true"),
        ("ip('10.0.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()", "true"),
        ("ip('1.2.3.4') == ip('1.2.3.4') && string(ip('::1')) == '::1'", "true"),
        (
            "ip('x')",
            "error: IP Address \"x\" parse error during conversion from string: ParseAddr(\"x\"): unable to parse IP",
        ),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.0'))", "true"),
        (
            "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
            "true",
        ),
        ("string(cidr('10.1.2.3/8').masked()) + string(cidr('::1/128').ip())", "\"10.0.0.0/8::1\""),
        ("cidr('10.0.0.0/8').prefixLength()", "8"),
        ("isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0/08')", "true"),
    ]);
}

#[test]
fn quantities_are_exact() {
    check(&[
        ("quantity('1.5Gi').isGreaterThan(quantity('1500Mi'))", "true"),
        ("quantity('500m').add(quantity('1')).compareTo(quantity('1500m'))", "0"),
        ("quantity('50k').add(20) == quantity('50020')", "true"),
        ("quantity('50k').sub(quantity('60k')).asInteger()", "-10000"),
        ("sign(quantity('-1')) + sign(quantity('0')) + sign(quantity('5'))", "0"),
        ("quantity('1.5').isInteger()", "false"),
        ("quantity('1.5').asInteger()", "error: cannot convert value to integer"),
        ("quantity('50.5k').asApproximateFloat()", "50500"),
        ("isQuantity('1.3Gi') && !isQuantity('1,3Gi')", "true"),
        ("quantity('1Gi') == quantity('1024Mi')", "true"),
    ]);
}

#[test]
fn versions_have_an_order() {
    check(&[
        ("semver('1.2.3').major() * 100 + semver('1.2.3').minor() * 10 + semver('1.2.3').patch()", "123"),
        ("semver('1.0.0-alpha.1').isLessThan(semver('1.0.0-alpha.beta'))", "true"),
        ("semver('1.0.0').isGreaterThan(semver('1.0.0-rc.1'))", "true"),
        ("semver('1.2.3').compareTo(semver('1.2.3+build'))", "0"),
        ("isSemver('v1.0') || isSemver('01.0.0')", "false"),
        ("semver('v01.2', true) == semver('1.2.0')", "true"),
        ("semver('1.2')", "error: No Major.Minor.Patch elements found"),
        ("semver('1.2.x')", "error: Invalid character(s) found in patch number \"x\""),
    ]);
}

#[test]
fn formats_have_names() {
    check(&[
        ("format.dns1123Label().validate('my-name')", "optional.none()"),
        ("format.named('dns1123Label').value().validate('My').value().size()", "1"),
        ("format.dns1123LabelPrefix().validate('my-')", "optional.none()"),
        ("format.uuid().validate('123e4567-e89b-12d3-a456-426614174000')", "optional.none()"),
        ("format.uuid().validate('nope')", "optional.of([\"does not match the UUID format\"])"),
        ("format.date().validate('2024-02-30').hasValue()", "true"),
        ("format.datetime().validate('2024-02-29T00:00:00Z').hasValue()", "false"),
        ("format.uri().validate('/a').hasValue() || format.byte().validate('aGk=').hasValue()", "false"),
        ("format.named('nope')", "optional.none()"),
    ]);
}

#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Attributes>>);

impl Authorizer for Recorder {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        self.0.lock().expect("nobody panicked").push(attributes.clone());
        Decision { allowed: attributes.verb == "get", reason: "because".to_owned(), error: None }
    }
}

#[test]
fn the_authorizer_is_asked() {
    let environment =
        Environment::new().with_variable("authorizer", Type::object("kubernetes.authorization.Authorizer"));
    let recorder = Arc::new(Recorder::default());
    let evaluate = |expression: &str| {
        let program = environment.compile(expression).expect("the expression compiles");
        let bindings = [("authorizer", expression::authorizer(recorder.clone()))];
        let evaluated = program.evaluate(&bindings, PER_CALL_LIMIT);
        (evaluated.value.map(|value| value.to_string()), evaluated.cost)
    };
    let check = "authorizer.group('apps').resource('deployments').subresource('scale').namespace('shop').name('web')\
                 .labelSelector('a=b').check('get')";
    assert_eq!(evaluate(&format!("{check}.allowed()")), (Ok("true".to_owned()), 350_000 + 1 + 5 + 1 + 111));
    assert_eq!(evaluate(&format!("{check}.reason() + {check}.error()")).0, Ok("because".to_owned()));
    assert_eq!(evaluate("authorizer.path('/healthz').check('post').allowed()").0, Ok("false".to_owned()));
    assert_eq!(
        evaluate("authorizer.serviceAccount('shop', 'robot').path('/x').check('get').errored()").0,
        Ok("false".to_owned())
    );
    let blank = evaluate("authorizer.path(' ').check('get').allowed()").0;
    assert_eq!(blank.expect_err("a path is needed").to_string(), "path must not be empty");
    let asked = recorder.0.lock().expect("nobody panicked");
    assert_eq!((asked[0].group.as_str(), asked[0].subresource.as_str()), ("apps", "scale"));
    assert_eq!(asked.last().and_then(|last| last.service_account.clone()), Some(("shop".into(), "robot".into())));
}
