//! The loops of the control plane: controllers, scheduler, autoscalers, as one process that can crash.

use std::sync::Arc;

use apiserver::Server;
use control::{CancellationToken, Metrics, Shell};
use controllers::ControllersConfig;
use machinery::UserInfo;
use prometheus_client::registry::Registry;

use super::link::Link;
use super::usage::Reported;

/// Loops that run until this is dropped.
pub struct Loops {
    pub link: Link,
    shutdown: CancellationToken,
}

impl Loops {
    pub fn start(server: &Server, usage: &Reported) -> Self {
        let (link, shutdown) = (Link::default(), CancellationToken::new());
        let client = |user: &str| link.client(server.client(UserInfo::new(user, &[])));
        let shell = Shell::new(client("system:kube-controller-manager"), Metrics::default(), shutdown.clone());
        let config = ControllersConfig {
            shell: shell.clone(),
            ca_pem: tokio::sync::watch::channel("the authority".to_owned()).1,
            mint: Arc::new(|of| Ok(format!("of {}", of.account))),
            token_clean_up: std::time::Duration::from_secs(365 * 24 * 60 * 60),
            cluster_cidr: "10.42.0.0/16".parse().expect("a range"),
            node_mask: 24,
            node_ports: server.registry().node_ports(),
        };
        let metrics = scheduler::Metrics::register(&mut Registry::default());
        tokio::spawn(controllers::run(config));
        let scheduler = client("system:kube-scheduler");
        tokio::spawn(scheduler::run(scheduler, shell.informers.clone(), metrics, shutdown.clone()));
        tokio::spawn(autoscale::run(shell.clone(), Arc::new(usage.of(&shell.informers))));
        Self { link, shutdown }
    }

    /// Nothing more gets out, not even the answers to what is on its way.
    fn crash(&self) {
        self.link.cut();
        self.shutdown.cancel();
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.crash();
    }
}
