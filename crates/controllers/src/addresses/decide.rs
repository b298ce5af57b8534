//! What is wrong between Services and the addresses and node ports recorded for them.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// An address may be this much older than what its Service says: a request takes no longer.
pub const CREATION_GRACE: Duration = Duration::from_secs(60);

/// A warning for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub reason: &'static str,
    pub message: String,
}

fn warning(reason: &'static str, message: String) -> Option<Warning> {
    Some(Warning { reason, message })
}

/// What the IPAddress object of a Service's address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    Missing,
    /// It names this Service; the flag says whether the allocator's labels are there.
    Own {
        labelled: bool,
    },
    /// It names something that is no Service.
    Foreign,
    /// It names a Service that does not exist.
    Gone,
    /// It names another Service, which has (or has not) this address.
    Another {
        has_it: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    Nothing,
    Create,
    Recreate,
    Delete,
    Wait(Duration),
}

/// One address of one Service; `service` is `namespace/name`.
pub fn check_service(
    service: &str,
    address: &str,
    family: &str,
    in_range: bool,
    record: Record,
) -> (Repair, Option<Warning>) {
    if !in_range {
        let message = format!(
            "Cluster IP [{family}]: {address} is not within any configured Service CIDR; please recreate service"
        );
        return (Repair::Nothing, warning("ClusterIPOutOfRange", message));
    }
    let wrong =
        || format!("the ClusterIP [{family}]: {address} for Service {service} has a wrong reference; repairing");
    match record {
        Record::Missing => {
            let message = format!("Cluster IP [{family}]: {address} is not allocated; repairing");
            (Repair::Create, warning("ClusterIPNotAllocated", message))
        }
        Record::Foreign | Record::Gone => (Repair::Recreate, warning("ClusterIPNotAllocated", wrong())),
        Record::Another { has_it: true } => {
            let message =
                format!("Cluster IP [{family}]:{address} was assigned to multiple services; please recreate service");
            (Repair::Nothing, warning("ClusterIPAlreadyAllocated", message))
        }
        Record::Own { labelled: false } => (Repair::Recreate, None),
        // The other Service's record is wrong, which is found from its side.
        Record::Another { has_it: false } | Record::Own { labelled: true } => (Repair::Nothing, None),
    }
}

/// What an IPAddress object of the allocator refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// No Service.
    Foreign,
    Missing,
    Service {
        has_it: bool,
    },
}

/// One IPAddress object of the allocator, so old; `parent` is how people read its reference.
pub fn check_address(address: &str, parent: &str, refers_to: Parent, age: Duration) -> (Repair, Option<Warning>) {
    match refers_to {
        Parent::Service { has_it: true } => (Repair::Nothing, None),
        Parent::Missing | Parent::Service { has_it: false } if age <= CREATION_GRACE => {
            (Repair::Wait(CREATION_GRACE - age + Duration::from_secs(1)), None)
        }
        Parent::Missing => {
            let message = format!("IPAddress: {address} for Service {parent} appears to have leaked: cleaning up");
            (Repair::Delete, warning("IPAddressNotAllocated", message))
        }
        Parent::Foreign => {
            let message = format!(
                "IPAddress {address} appears to have been modified, not referencing a Service {parent}: cleaning up"
            );
            (Repair::Delete, warning("IPAddressNotAllocated", message))
        }
        Parent::Service { has_it: false } => {
            let message = format!("IPAddress: {address} for Service {parent} has a wrong reference; cleaning up");
            (Repair::Delete, warning("IPAddressWrongReference", message))
        }
    }
}

/// A node port of a Service: its number and protocol.
pub type NodePort = (u16, String);

/// The Services whose node ports are outside of `range`, or are those of an earlier Service as well. One port may
/// serve several protocols of one Service.
pub fn check_ports<'a, K>(services: &'a [(K, Vec<NodePort>)], range: &RangeInclusive<u16>) -> Vec<(&'a K, Warning)> {
    let mut holders: HashMap<u16, usize> = HashMap::new();
    let mut found = Vec::new();
    for (at, (key, ports)) in services.iter().enumerate() {
        for (index, (port, protocol)) in ports.iter().enumerate() {
            let repeated = ports[..index].iter().any(|(other, of)| other == port && of == protocol);
            let holder = *holders.entry(*port).or_insert(at);
            let wrong = if !range.contains(port) {
                let (first, last) = (range.start(), range.end());
                let message =
                    format!("Port {port} is not within the port range {first}-{last}; please recreate service");
                warning("PortOutOfRange", message)
            } else if holder != at || repeated {
                let message = format!("Port {port} was assigned to multiple services; please recreate service");
                warning("PortAlreadyAllocated", message)
            } else {
                None
            };
            found.extend(wrong.map(|wrong| (key, wrong)));
        }
    }
    found
}
