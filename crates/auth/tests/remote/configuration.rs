//! AuthenticationConfigurations: what is wrong with them, and what changes with them.

use auth::{Authenticator as _, Credentials};
use machinery::UserInfo;
use serde_json::json;

use crate::support::{Fixture, Signer, TestIssuer};

/// A configuration with one authenticator: `jwt`, with `issuer` beginning on its own line.
fn configuration(jwt: &str) -> String {
    format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n{jwt}\n")
}

#[test]
fn mistakes_are_named_as_upstream_names_them() {
    let mappings = "claimMappings: {username: {claim: sub, prefix: ''}}";
    let issuer = "issuer: {url: 'https://a.test', audiences: [x]}";
    for (jwt, wanted) in [
        (format!("- {{issuer: {{url: '', audiences: [x]}}, {mappings}}}"), "jwt[0].issuer.url: Required value"),
        (
            format!("- {{issuer: {{url: 'http://a.test', audiences: [x]}}, {mappings}}}"),
            "jwt[0].issuer.url: Invalid value: \"http://a.test\": URL scheme must be https",
        ),
        (
            format!("- {{issuer: {{url: 'https://u:p@a.test?q=1#f', audiences: [x]}}, {mappings}}}"),
            "[jwt[0].issuer.url: Invalid value: \"https://u:p@a.test?q=1#f\": URL must not contain a username or \
             password, jwt[0].issuer.url: Invalid value: \"https://u:p@a.test?q=1#f\": URL must not contain a query, \
             jwt[0].issuer.url: Invalid value: \"https://u:p@a.test?q=1#f\": URL must not contain a fragment]",
        ),
        (
            format!("- {{issuer: {{url: 'https://own.test', audiences: [x]}}, {mappings}}}"),
            "jwt[0].issuer.url: Invalid value: \"https://own.test\": URL must not overlap with disallowed issuers: \
             [https://own.test]",
        ),
        (
            format!(
                "- {{issuer: {{url: 'https://a.test', discoveryURL: 'https://a.test/', audiences: [x]}}, {mappings}}}"
            ),
            "jwt[0].issuer.discoveryURL: Invalid value: \"https://a.test/\": discoveryURL must be different from URL",
        ),
        (
            format!("- {{issuer: {{url: 'https://a.test'}}, {mappings}}}"),
            "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
        ),
        (
            format!("- {{issuer: {{url: 'https://a.test', audiences: [x, y]}}, {mappings}}}"),
            "jwt[0].issuer.audienceMatchPolicy: Invalid value: \"\": audienceMatchPolicy must be MatchAny for \
             multiple audiences",
        ),
        (
            format!(
                "- {{issuer: {{url: 'https://a.test', audiences: [x, x], audienceMatchPolicy: MatchAny}}, {mappings}}}"
            ),
            "jwt[0].issuer.audiences[1]: Duplicate value: \"x\"",
        ),
        (
            format!("- {{issuer: {{url: 'https://a.test', audiences: [x], certificateAuthority: none}}, {mappings}}}"),
            "jwt[0].issuer.certificateAuthority: Invalid value: \"<omitted>\": data does not contain any valid RSA or \
             ECDSA certificates",
        ),
        (
            format!("- {{{issuer}, {mappings}}}\n- {{{issuer}, {mappings}}}"),
            "jwt[1].issuer.url: Duplicate value: \"https://a.test\"",
        ),
        (format!("- {{{issuer}}}"), "jwt[0].claimMappings.username: Required value: claim or expression is required"),
        (
            format!("- {{{issuer}, claimMappings: {{username: {{claim: sub}}}}}}"),
            "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be \
             set to an empty string to disable prefixing",
        ),
        (
            format!("- {{{issuer}, claimMappings: {{username: {{expression: 'claims.email'}}}}}}"),
            "jwt[0].claimMappings.username.expression: Invalid value: \"claims.email\": claims.email_verified must \
             be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or \
             claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression",
        ),
        (
            format!("- {{{issuer}, {mappings}, claimValidationRules: [{{expression: '\"x\"'}}]}}"),
            "jwt[0].claimValidationRules[0].expression: Invalid value: \"\\\"x\\\"\": must evaluate to bool",
        ),
        (
            format!("- {{{issuer}, {mappings}, claimValidationRules: [{{claim: a, message: m}}]}}"),
            "jwt[0].claimValidationRules[0].message: Invalid value: \"m\": may not be specified when claim is set",
        ),
        (
            format!(
                "- {{{issuer}, claimMappings: {{username: {{claim: sub, prefix: ''}}, extra: [{{key: foo, valueExpression: \
                 '\"x\"'}}, {{key: k8s.io/A, valueExpression: ''}}]}}}}"
            ),
            "[jwt[0].claimMappings.extra[0].key: Invalid value: \"foo\": must be a domain-prefixed path (such as \
             \"acme.io/foo\"), jwt[0].claimMappings.extra[1].key: Invalid value: \"k8s.io/A\": must be lowercase, \
             jwt[0].claimMappings.extra[1].key: Invalid value: \"k8s.io/A\": k8s.io, kubernetes.io and their \
             subdomains are reserved for Kubernetes use, jwt[0].claimMappings.extra[1].valueExpression: Required value]",
        ),
        (
            format!("- {{{issuer}, {mappings}, userValidationRules: [{{expression: 'user.name == \"x\"'}}]}}"),
            "jwt[0].userValidationRules[0].expression: Invalid value: \"user.name == \\\"x\\\"\": compilation failed: \
             ERROR: <input>:1:5: undefined field 'name'\n | user.name == \"x\"\n | ....^",
        ),
    ] {
        let error = Fixture::try_new(&configuration(&jwt)).err().unwrap_or_else(|| panic!("{jwt} is taken"));
        assert_eq!(error, format!("invalid authentication configuration: {wanted}"), "{jwt}");
    }
}

#[test]
fn only_what_is_known_is_read() {
    let error = |text: &str| Fixture::try_new(text).err().unwrap();
    let error_of_kind = error("apiVersion: v1\nkind: Pod");
    assert_eq!(
        error_of_kind,
        "failed to decode authentication configuration: no kind \"Pod\" is registered for version \"v1\""
    );
    let misspelt = error(&configuration("- {isuer: {}}"));
    assert!(misspelt.contains("unknown field `isuer`"), "{misspelt}");
    let nowhere = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {enabled: false, conditions: [{path: /x}]}";
    assert_eq!(
        error(nowhere),
        "invalid authentication configuration: anonymous.conditions: Invalid value: [{\"path\":\"/x\"}]: enabled \
         should be set to true when conditions are defined"
    );
}

#[tokio::test]
async fn a_configuration_is_taken_over_when_it_changes_and_kept_when_it_is_bad() {
    let signer = Signer::new("one");
    let issuer = TestIssuer::start(&[&signer]).await;
    let named = |prefix: &str| {
        issuer.configuration(&format!("  claimMappings: {{username: {{claim: sub, prefix: '{prefix}'}}}}\nanonymous: {{enabled: true, conditions: [{{path: /{prefix}}}]}}"))
    };
    let fixture = Fixture::new(&named("a"));
    let followed = tokio::spawn(fixture.configured.clone().follow());
    let token = signer.sign(&issuer.claims(json!({})));
    assert_eq!(fixture.user(&token).await.unwrap().name, "ajane");
    let open = async |path: &str| {
        let credentials = Credentials { path, ..Credentials::default() };
        fixture.anonymous.authenticate(&credentials).await.unwrap() == Some(UserInfo::anonymous())
    };
    assert!(open("/a").await && !open("/livez").await);
    fixture.write("kind: broken");
    fixture.write(&named("b"));
    fixture.until(&token, |answer| answer.as_ref().is_ok_and(|user| user.name == "bjane")).await;
    assert!(open("/b").await && !open("/a").await);
    fixture.write("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: []");
    fixture.until(&token, |answer| answer == &Err("invalid bearer token".to_owned())).await;
    followed.abort();
}
