use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::pki::{LeafSpec, Summary};
use crate::tls::{Trust, certificates};

/// `[signer] others`, by common names; the successor has a `+`.
fn shown(directory: &TempDir) -> String {
    let generation = CLUSTER.load(directory.path()).unwrap();
    let next = generation.next.as_ref().map(Authority::certificate);
    let name = |of: &Certificate| Summary::of(&pki::certificate_pem(of).unwrap()).unwrap().subject;
    let others = generation.others().map(|of| format!(" {}{}", if Some(of) == next { "+" } else { "" }, name(of)));
    format!("[{}]{}", name(generation.signer.certificate()), others.collect::<String>())
}

fn file(directory: &TempDir, name: &str) -> PathBuf {
    directory.path().join(name)
}

fn serves(trusted: &str, generation: &Generation) -> bool {
    let (leaf, _) = generation.signer().issue(&LeafSpec::client("jane", &[])).unwrap();
    let chain = certificates(&format!("{leaf}{}", generation.chain().unwrap())).unwrap();
    Trust::new(trusted).unwrap().vouches_for(&chain)
}

#[test]
fn an_authority_is_made_once_and_its_key_kept_private() {
    let directory = tempfile::tempdir().unwrap();
    let first = CLUSTER.load(directory.path()).unwrap().bundle().unwrap();
    assert_eq!(CLUSTER.load(directory.path()).unwrap().bundle().unwrap(), first);
    let mode = fs::metadata(file(&directory, "ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(start_paused = true)]
async fn who_knows_one_authority_trusts_what_is_signed_until_it_is_retired() {
    let _guard = clock::simulate(1);
    let directory = tempfile::tempdir().unwrap();
    let first = CLUSTER.load(directory.path()).unwrap();
    let old = first.bundle().unwrap();
    let of_old = first.signer().issue(&LeafSpec::client("joe", &[])).unwrap().0;
    let now = first.signer().certificate().tbs_certificate().validity().not_before.to_unix_duration().as_secs() + 300;
    let mut states = vec![(shown(&directory), serves(&old, &first), true)];
    for _ in 0..3 {
        let (_, generation) = CLUSTER.advance(directory.path()).unwrap();
        let bundle = generation.bundle().unwrap();
        assert!(serves(&bundle, &generation), "the bundle of now trusts what is signed now");
        let knows_old = Trust::new(bundle).unwrap().vouches_for(&certificates(&of_old).unwrap());
        states.push((shown(&directory), serves(&old, &generation), knows_old));
    }
    let new = format!("keelson-ca@{now}");
    let expected = [
        ("[keelson-ca]".to_owned(), true, true),
        (format!("[keelson-ca] +{new}"), true, true),
        (format!("[{new}] keelson-ca"), true, true),
        (format!("[{new}]"), false, false),
    ];
    assert_eq!(states, expected);
}

#[tokio::test(start_paused = true)]
async fn authorities_rotate_in_time() {
    let _guard = clock::simulate(1);
    let directory = tempfile::tempdir().unwrap();
    let line = Lineage::open(directory.path(), CLUSTER).unwrap();
    let begun = clock::now();
    let mut seen = line.follow();
    let kept = tokio::spawn(async move { line.keep().await });
    let mut days = Vec::new();
    for _ in 0..4 {
        seen.changed().await.unwrap();
        days.push((clock::now().duration_since(begun).as_secs() + 86_399) / 86_400);
    }
    kept.abort();
    // Two thirds of ten years; a day; a year; two thirds of the ten years of the next.
    assert_eq!(days, [2434, 2435, 2800, 4867]);
}

/// What is left when each write of a step is the last, and what whoever reads next makes of it.
#[test]
fn a_step_that_is_cut_off_is_finished() {
    let cut = |files: &[(&str, Option<&str>)], directory: &TempDir, later: &TempDir| {
        for (name, from) in files {
            match from {
                Some(from) => drop(fs::copy(file(later, from), file(directory, name)).unwrap()),
                None => fs::remove_file(file(directory, name)).unwrap(),
            }
        }
    };
    let copy = |from: &TempDir| {
        let to = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(from.path()).unwrap().flatten() {
            fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
        to
    };
    let made = tempfile::tempdir().unwrap();
    CLUSTER.load(made.path()).unwrap();
    let announced = copy(&made);
    CLUSTER.advance(announced.path()).unwrap();
    let succeeded = copy(&announced);
    CLUSTER.advance(succeeded.path()).unwrap();
    let (of_made, of_announced, of_succeeded) = (shown(&made), shown(&announced), shown(&succeeded));
    for (from, later, files, expected) in [
        (&made, &made, &[("ca.crt", None)][..], &of_made),
        (&made, &announced, &[("ca-next.key", Some("ca-next.key"))], &of_made),
        (
            &made,
            &announced,
            &[("ca-next.key", Some("ca-next.key")), ("ca-next.crt", Some("ca-next.crt"))],
            &of_announced,
        ),
        (&announced, &succeeded, &[("ca.key", Some("ca.key"))], &of_succeeded),
        (&announced, &succeeded, &[("ca.key", Some("ca.key")), ("ca.crt", Some("ca.crt"))], &of_succeeded),
        (
            &announced,
            &succeeded,
            &[("ca.key", Some("ca.key")), ("ca.crt", Some("ca.crt")), ("ca-next.crt", None)],
            &of_succeeded,
        ),
    ] {
        let directory = copy(from);
        cut(files, &directory, later);
        assert_eq!(shown(&directory), *expected, "{files:?}");
        let generation = CLUSTER.load(directory.path()).unwrap();
        assert!(serves(&generation.bundle().unwrap(), &generation), "{files:?}");
    }
}
