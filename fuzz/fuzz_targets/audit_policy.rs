//! Audit policies: one that is read judges every request.
#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use machinery::UserInfo;

#[allow(dead_code)]
#[path = "../../crates/apiserver/src/info.rs"]
mod info;
#[allow(dead_code)]
#[path = "../../crates/apiserver/src/audit/policy.rs"]
mod policy;
#[allow(dead_code)]
#[path = "../../crates/apiserver/src/query.rs"]
mod query;

use info::RequestInfo;
use policy::Policy;
use query::Query;

fuzz_target!(|input: (&str, &str)| {
    let (text, path) = input;
    for text in [text, &format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{text}")] {
        let Ok(policy) = Policy::parse(text) else { continue };
        for path in [path, "/api/v1/namespaces/a/pods/b/log"] {
            let info = RequestInfo::new(&Method::GET, path, &Query::default());
            let verdict = policy.judge(&UserInfo::new("jane", &["dev"]), &info);
            assert!(verdict.level.name().len() > 3);
        }
    }
});
