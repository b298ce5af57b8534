//! StatefulSet.

use machinery::Object;

use super::deployment::{SCALE, ready};
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME};
use crate::core::persistent_volume_claim::default_claim_map;
use crate::core::pod::defaults::default_template;
use crate::def::{Column, KindDef, Strategy, Subresource};
use crate::tree::{child_or_new, default, default_status_number, default_text, each, text};

pub static STATEFUL_SET: KindDef = KindDef {
    group: "apps",
    kind: "StatefulSet",
    resource: "statefulsets",
    singular: "statefulset",
    short_names: &["sts"],
    categories: &["all"],
    schema: "io.k8s.api.apps.v1.StatefulSet",
    subresources: &[Subresource::Scale(SCALE), Subresource::Status],
    columns: &[
        NAME,
        Column::string("Ready", "Pods that are ready, of those that should be", ready),
        AGE,
        CONTAINERS,
        IMAGES,
    ],
    strategy: Strategy { default: default_stateful_set, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};

fn default_stateful_set(object: &mut Object) {
    let spec = child_or_new(&mut object.0, "spec");
    default_template(spec, "template");
    default_text(spec, "podManagementPolicy", "OrderedReady");
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    let retention = child_or_new(spec, "persistentVolumeClaimRetentionPolicy");
    default_text(retention, "whenDeleted", "Retain");
    default_text(retention, "whenScaled", "Retain");
    let strategy = child_or_new(spec, "updateStrategy");
    default_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        default(child_or_new(strategy, "rollingUpdate"), "partition", 0);
    }
    each(spec, "volumeClaimTemplates", |claim| {
        default_text(claim, "apiVersion", "v1");
        default_text(claim, "kind", "PersistentVolumeClaim");
        default_claim_map(claim);
    });
    default_status_number(object, &["availableReplicas", "replicas"]);
}
