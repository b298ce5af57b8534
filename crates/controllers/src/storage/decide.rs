//! The next step that brings a claim and a volume together, or apart.
//! (upstream: pkg/controller/volume/persistentvolume)

use std::collections::BTreeSet;

/// A claim by its place and its uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimRef {
    pub namespace: String,
    pub name: String,
    /// Empty if an administrator reserved the volume by name alone.
    pub uid: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeView {
    pub name: String,
    pub class: String,
    pub bytes: i128,
    pub modes: BTreeSet<String>,
    pub block: bool,
    /// The claim's selector matches its labels.
    pub selected: bool,
    pub claim: Option<ClaimRef>,
    pub phase: String,
    pub deleting: bool,
}

/// Who makes volumes for the claim's class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Provisioner {
    #[default]
    None,
    Ours,
    External(String),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimView {
    pub at: ClaimRef,
    pub class: String,
    pub bytes: i128,
    pub modes: BTreeSet<String>,
    pub block: bool,
    /// `spec.volumeName`
    pub volume: String,
    pub phase: String,
    pub deleting: bool,
    /// The class binds when a pod is scheduled, and none is yet.
    pub waits_for_pod: bool,
    pub provisioner: Provisioner,
}

/// One write; the change it makes brings the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Done,
    /// Reserve the volume for the claim.
    Reserve {
        volume: String,
    },
    /// Note the volume in the claim.
    Name {
        volume: String,
    },
    VolumeBound {
        volume: String,
    },
    ClaimBound {
        volume: String,
    },
    Provision,
    WaitForPod,
    WaitForProvisioner(String),
    /// No volume fits, and nobody makes one.
    NoFit,
    /// The claim's volume is gone or another's.
    Lost,
}

fn same_place(a: &ClaimRef, b: &ClaimRef) -> bool {
    (&a.namespace, &a.name) == (&b.namespace, &b.name)
}

fn holds(volume: &VolumeView, claim: &ClaimView) -> bool {
    volume.claim.as_ref().is_some_and(|held| same_place(held, &claim.at) && held.uid == claim.at.uid)
}

fn is_reserved(volume: &VolumeView, claim: &ClaimView) -> bool {
    volume.claim.as_ref().is_some_and(|held| same_place(held, &claim.at) && held.uid.is_empty())
}

pub fn claim(claim: &ClaimView, volumes: &[VolumeView]) -> Step {
    if claim.deleting {
        return Step::Done;
    }
    if !claim.volume.is_empty() {
        return named(claim, volumes.iter().find(|volume| volume.name == claim.volume));
    }
    if let Some(volume) = volumes.iter().find(|volume| holds(volume, claim)) {
        return Step::Name { volume: volume.name.clone() };
    }
    if let Some(volume) = volumes.iter().find(|volume| is_reserved(volume, claim) && !volume.deleting) {
        return Step::Reserve { volume: volume.name.clone() };
    }
    if claim.waits_for_pod {
        return Step::WaitForPod;
    }
    match best(claim, volumes) {
        Some(volume) => Step::Reserve { volume: volume.name.clone() },
        None => match &claim.provisioner {
            Provisioner::Ours => Step::Provision,
            Provisioner::External(name) => Step::WaitForProvisioner(name.clone()),
            Provisioner::None => Step::NoFit,
        },
    }
}

fn named(claim: &ClaimView, volume: Option<&VolumeView>) -> Step {
    let was_bound = claim.phase == "Bound";
    let Some(volume) = volume else { return if was_bound { Step::Lost } else { Step::NoFit } };
    let name = volume.name.clone();
    if holds(volume, claim) {
        return match (volume.phase.as_str(), was_bound) {
            ("Bound", true) => Step::Done,
            ("Bound", false) => Step::ClaimBound { volume: name },
            _ => Step::VolumeBound { volume: name },
        };
    }
    match &volume.claim {
        None => Step::Reserve { volume: name },
        Some(_) if is_reserved(volume, claim) => Step::Reserve { volume: name },
        Some(_) if was_bound => Step::Lost,
        Some(_) => Step::NoFit,
    }
}

/// The smallest free volume that fits.
fn best<'a>(claim: &ClaimView, volumes: &'a [VolumeView]) -> Option<&'a VolumeView> {
    let fits = |volume: &&VolumeView| {
        volume.claim.is_none()
            && !volume.deleting
            && volume.selected
            && volume.class == claim.class
            && volume.block == claim.block
            && volume.bytes >= claim.bytes
            && claim.modes.is_subset(&volume.modes)
    };
    volumes.iter().filter(fits).min_by(|a, b| a.bytes.cmp(&b.bytes).then_with(|| a.name.cmp(&b.name)))
}

/// What a volume is to become on its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Stay,
    Available,
    Released,
    Delete,
}

/// `claim_is_there`: the claim it is reserved for exists, with the uid that the reservation names.
pub fn volume(volume: &VolumeView, claim_is_there: bool, we_delete: bool) -> Fate {
    match &volume.claim {
        None if volume.phase == "Available" => Fate::Stay,
        None => Fate::Available,
        Some(held) if held.uid.is_empty() || claim_is_there => Fate::Stay,
        Some(_) if volume.phase != "Released" => Fate::Released,
        Some(_) if we_delete && !volume.deleting => Fate::Delete,
        Some(_) => Fate::Stay,
    }
}
