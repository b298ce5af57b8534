use std::collections::BTreeSet;

use super::decide::*;

fn at(name: &str) -> ClaimRef {
    ClaimRef { namespace: "default".to_owned(), name: name.to_owned(), uid: format!("uid-{name}") }
}

fn wanted() -> ClaimView {
    ClaimView { at: at("data"), bytes: 10, modes: BTreeSet::from(["ReadWriteOnce".to_owned()]), ..ClaimView::default() }
}

fn free(name: &str, bytes: i128) -> VolumeView {
    VolumeView {
        name: name.to_owned(),
        bytes,
        modes: BTreeSet::from(["ReadWriteOnce".to_owned(), "ReadOnlyMany".to_owned()]),
        selected: true,
        phase: "Available".to_owned(),
        ..VolumeView::default()
    }
}

fn volume_of(claim: &str, phase: &str) -> VolumeView {
    VolumeView { claim: Some(at(claim)), phase: phase.to_owned(), ..free("v1", 10) }
}

#[test]
fn the_smallest_volume_that_fits_is_reserved() {
    let volumes = [free("small", 5), free("large", 100), free("right", 12)];
    assert_eq!(claim(&wanted(), &volumes), Step::Reserve { volume: "right".to_owned() });
    assert_eq!(claim(&wanted(), &volumes[..1]), Step::NoFit);
    let other = VolumeView { class: "ssd".to_owned(), ..free("v", 10) };
    assert_eq!(claim(&wanted(), &[other]), Step::NoFit);
}

#[test]
fn claim_and_volume_come_together_step_by_step() {
    assert_eq!(claim(&wanted(), &[volume_of("data", "Available")]), Step::Name { volume: "v1".to_owned() });
    let named = ClaimView { volume: "v1".to_owned(), ..wanted() };
    assert_eq!(claim(&named, &[volume_of("data", "Available")]), Step::VolumeBound { volume: "v1".to_owned() });
    assert_eq!(claim(&named, &[volume_of("data", "Bound")]), Step::ClaimBound { volume: "v1".to_owned() });
    let bound = ClaimView { phase: "Bound".to_owned(), ..named };
    assert_eq!(claim(&bound, &[volume_of("data", "Bound")]), Step::Done);
    assert_eq!(claim(&bound, &[]), Step::Lost);
    assert_eq!(claim(&bound, &[volume_of("other", "Bound")]), Step::Lost);
}

#[test]
fn a_volume_is_made_when_the_time_has_come() {
    let ours = ClaimView { provisioner: Provisioner::Ours, ..wanted() };
    assert_eq!(claim(&ours, &[]), Step::Provision);
    assert_eq!(claim(&ClaimView { waits_for_pod: true, ..ours }, &[free("v", 10)]), Step::WaitForPod);
    let external = ClaimView { provisioner: Provisioner::External("csi".to_owned()), ..wanted() };
    assert_eq!(claim(&external, &[]), Step::WaitForProvisioner("csi".to_owned()));
}

#[test]
fn a_volume_outlives_its_claim_unless_it_is_ours_to_delete() {
    let fresh = VolumeView { phase: String::new(), ..free("v", 1) };
    assert_eq!(volume(&fresh, false, false), Fate::Available);
    assert_eq!(volume(&volume_of("data", "Bound"), true, true), Fate::Stay);
    assert_eq!(volume(&volume_of("data", "Bound"), false, true), Fate::Released);
    assert_eq!(volume(&volume_of("data", "Released"), false, false), Fate::Stay);
    assert_eq!(volume(&volume_of("data", "Released"), false, true), Fate::Delete);
    let leaving = |phase| VolumeView { deleting: true, ..volume_of("data", phase) };
    assert_eq!(volume(&leaving("Bound"), true, true), Fate::Stay);
    assert_eq!(volume(&leaving("Bound"), false, true), Fate::Released);
    assert_eq!(volume(&leaving("Released"), false, true), Fate::Stay);
}
