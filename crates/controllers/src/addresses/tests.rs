use std::time::Duration;

use super::decide::{Parent, Record, Repair, Warning, check_address, check_ports, check_service};

fn shown((repair, warning): (Repair, Option<Warning>)) -> String {
    let warning = warning.map(|Warning { reason, message }| format!(" {reason}: {message}")).unwrap_or_default();
    format!("{repair:?}{warning}")
}

#[test]
fn a_service_gets_the_record_of_its_address_back() {
    let check = |in_range, record| shown(check_service("a/web", "10.0.0.1", "IPv4", in_range, record));
    let table = [
        (Record::Own { labelled: true }, "Nothing"),
        (Record::Own { labelled: false }, "Recreate"),
        (Record::Another { has_it: false }, "Nothing"),
        (Record::Missing, "Create ClusterIPNotAllocated: Cluster IP [IPv4]: 10.0.0.1 is not allocated; repairing"),
        (
            Record::Gone,
            "Recreate ClusterIPNotAllocated: \
             the ClusterIP [IPv4]: 10.0.0.1 for Service a/web has a wrong reference; repairing",
        ),
        (
            Record::Another { has_it: true },
            "Nothing ClusterIPAlreadyAllocated: \
             Cluster IP [IPv4]:10.0.0.1 was assigned to multiple services; please recreate service",
        ),
    ];
    for (record, expected) in table {
        assert_eq!(check(true, record), expected, "{record:?}");
    }
    assert_eq!(
        check(false, Record::Missing),
        "Nothing ClusterIPOutOfRange: \
         Cluster IP [IPv4]: 10.0.0.1 is not within any configured Service CIDR; please recreate service"
    );
}

#[test]
fn a_leaked_address_goes_once_no_request_can_be_about_it() {
    let check = |parent, seconds| shown(check_address("10.0.0.1", "a/web", parent, Duration::from_secs(seconds)));
    assert_eq!(check(Parent::Service { has_it: true }, 1000), "Nothing");
    assert_eq!(check(Parent::Missing, 20), "Wait(41s)");
    assert_eq!(check(Parent::Service { has_it: false }, 60), "Wait(1s)");
    assert_eq!(
        check(Parent::Missing, 61),
        "Delete IPAddressNotAllocated: IPAddress: 10.0.0.1 for Service a/web appears to have leaked: cleaning up"
    );
    assert_eq!(
        check(Parent::Service { has_it: false }, 61),
        "Delete IPAddressWrongReference: IPAddress: 10.0.0.1 for Service a/web has a wrong reference; cleaning up"
    );
}

#[test]
fn a_node_port_belongs_to_one_service() {
    let tcp = |port: u16| (port, "TCP".to_owned());
    let services = [
        ("a", vec![tcp(30000), (30000, "UDP".to_owned()), tcp(30001)]),
        ("b", vec![tcp(30001), tcp(80)]),
        ("c", vec![tcp(30002), tcp(30002)]),
    ];
    let found: Vec<String> = check_ports(&services, &(30000..=32767))
        .into_iter()
        .map(|(key, warning)| format!("{key} {}: {}", warning.reason, warning.message))
        .collect();
    assert_eq!(
        found,
        [
            "b PortAlreadyAllocated: Port 30001 was assigned to multiple services; please recreate service",
            "b PortOutOfRange: Port 80 is not within the port range 30000-32767; please recreate service",
            "c PortAlreadyAllocated: Port 30002 was assigned to multiple services; please recreate service",
        ]
    );
}
