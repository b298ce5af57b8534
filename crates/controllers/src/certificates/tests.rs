use super::decide::{Asked, Verdict, check_signable, judge};
use super::{NODE_CLIENT_SIGNER, NODE_SERVING_SIGNER, Subject};

fn client(user: &str, group: &str) -> Asked {
    Asked {
        signer: NODE_CLIENT_SIGNER.to_owned(),
        subject: Subject {
            common_name: "system:node:n1".to_owned(),
            organizations: vec!["system:nodes".to_owned()],
            ..Subject::default()
        },
        usages: vec!["digital signature".to_owned(), "client auth".to_owned()],
        user: user.to_owned(),
        groups: vec![group.to_owned()],
    }
}

fn serving(dns: &str, ip: &str) -> Asked {
    let mut asked = client("system:node:n1", "system:nodes");
    asked.signer = NODE_SERVING_SIGNER.to_owned();
    asked.usages = vec!["digital signature".to_owned(), "server auth".to_owned()];
    asked.subject.dns_names = vec![dns.to_owned()];
    asked.subject.ips = vec![ip.parse().expect("an address")];
    asked
}

fn is_approved(asked: &Asked, addresses: &[(&str, &[&str])]) -> bool {
    let own = |list: &[&str]| list.iter().map(|&address| address.to_owned()).collect();
    let addresses: Vec<_> = addresses.iter().map(|(node, list)| ((*node).to_owned(), own(list))).collect();
    matches!(judge(asked, &addresses), Verdict::Approve(_))
}

#[test]
fn bootstrappers_and_the_node_itself_get_a_client_certificate() {
    assert!(is_approved(&client("system:bootstrap:abcdef", "system:bootstrappers"), &[]));
    assert!(is_approved(&client("system:node:n1", "system:nodes"), &[]));
    assert!(!is_approved(&client("system:node:n2", "system:nodes"), &[]));
    assert!(!is_approved(&client("mallory", "system:authenticated"), &[]));
}

#[test]
fn a_serving_certificate_names_only_the_node() {
    let registered: &[(&str, &[&str])] = &[("n1", &["192.0.2.1"]), ("n2", &["192.0.2.2"])];
    assert!(is_approved(&serving("n1", "192.0.2.1"), registered));
    assert!(!is_approved(&serving("n1", "192.0.2.2"), registered));
    assert!(!is_approved(&serving("kubernetes.default.svc", "192.0.2.1"), registered));
    let others: &[(&str, &[&str])] = &[("n2", &["192.0.2.2"])];
    assert!(is_approved(&serving("n1", "192.0.2.1"), others), "not registered yet");
    assert!(!is_approved(&serving("n1", "192.0.2.2"), others));
    assert!(!is_approved(&serving("example.com", "192.0.2.1"), others));
}

#[test]
fn what_was_approved_is_still_checked_before_it_is_signed() {
    assert_eq!(check_signable(&client("anyone", "any")), Ok(()));
    let mut asked = client("anyone", "any");
    asked.subject.organizations.push("system:masters".to_owned());
    assert_eq!(check_signable(&asked), Err("subject organization is not system:nodes".to_owned()));
    let mut asked = client("anyone", "any");
    asked.usages.push("server auth".to_owned());
    assert_eq!(check_signable(&asked), Err("usage \"server auth\" is not allowed".to_owned()));
    let mut asked = serving("n1", "192.0.2.1");
    (asked.subject.dns_names, asked.subject.ips) = (Vec::new(), Vec::new());
    assert_eq!(check_signable(&asked), Err("DNS or IP subjectAltName is required".to_owned()));
}
