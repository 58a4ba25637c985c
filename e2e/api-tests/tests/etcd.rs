//! The client of etcd against a real one: a learner is added, promoted, given the lead, lost, and removed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail anywhere"
)]

use std::fs;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use k0smotron_e2e_plane::EtcdPlace;
use k0smotron_runtime::dial::{Consistency, Dialer, EtcdClient, EtcdError, EtcdTls, Target};
use kube::{Client, Config};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// Far beyond what anything takes here.
const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "kmc-a-etcd.ns.svc";

/// Writes what members need, and returns what clients need.
fn certificates(directory: &Path) -> EtcdTls {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec![NAME.to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let key = key.serialize_pem();
    for (name, text) in [("ca.crt", &ca), ("etcd.crt", &certificate), ("etcd.key", &key)] {
        fs::write(directory.join(name), text).unwrap();
    }
    EtcdTls {
        ca,
        certificate,
        key: key.into(),
        server_name: NAME.to_owned(),
    }
}

fn client(place: &EtcdPlace, tls: &EtcdTls) -> EtcdClient {
    let hosting = Client::try_from(Config::new("https://127.0.0.1:1".parse().unwrap())).unwrap();
    let dialer = Dialer::to_address(hosting, place.address());
    EtcdClient::new(&dialer, &Target::service("ns", "kmc-a-etcd", 2379), tls).unwrap()
}

async fn until<Answer: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> Answer) {
    let begun = Instant::now();
    while !ask().await {
        assert!(begun.elapsed() < LIMIT, "{what}: not so after {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn members_come_vote_lead_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let tls = certificates(directory.path());
    let first = EtcdPlace::new("first", directory.path()).unwrap();
    let second = EtcdPlace::new("second", directory.path()).unwrap();
    let _running = first.start(&[&first]).await.unwrap();
    let at_first = client(&first, &tls);
    let healthy = || async { matches!(at_first.health().await, Ok(Ok(()))) };
    until("the first member is healthy", healthy).await;

    let members = at_first.member_list(Consistency::Quorum).await.unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!(
        (members[0].name.as_str(), members[0].is_learner),
        ("first", false)
    );
    let status = at_first.status().await.unwrap();
    assert_eq!(
        (status.member_id(), status.leader),
        (members[0].id, members[0].id)
    );
    assert!(status.version.starts_with("3."), "{}", status.version);
    assert!(status.db_size > 0 && status.raft_index > 0, "{status:?}");

    let urls = [second.peer_url()];
    let added = at_first.member_add_as_learner(&urls).await.unwrap();
    assert!(added.is_learner && added.name.is_empty(), "{added:?}");
    assert_eq!(added.peer_urls, urls);
    let again = at_first.member_add_as_learner(&urls).await.unwrap_err();
    assert!(again.is_member_present(), "{again}");
    let early = at_first.member_promote(added.id).await.unwrap_err();
    assert!(early.is_learner_behind(), "{early}");

    let running = second.start(&[&first, &second]).await.unwrap();
    let at_second = client(&second, &tls);
    let promoted = || async {
        match at_first.member_promote(added.id).await {
            Ok(()) => true,
            Err(error) => {
                assert!(error.is_learner_behind(), "{error}");
                // It does not answer before it has heard of the others.
                if let Ok(status) = at_second.status().await {
                    assert!(status.is_learner);
                    let refusal = at_second.member_list(Consistency::Member).await;
                    assert!(matches!(refusal, Err(EtcdError::Refused { .. })), "{refusal:?}");
                }
                false
            }
        }
    };
    until("the second member votes", promoted).await;
    let members = at_first.member_list(Consistency::Quorum).await.unwrap();
    assert_eq!(members.iter().filter(|member| !member.is_learner).count(), 2);

    at_first.move_leader(added.id).await.unwrap();
    assert_eq!(at_first.status().await.unwrap().leader, added.id);

    drop(running);
    let lost = || async { matches!(at_first.health().await, Ok(Err(reason)) if !reason.is_empty()) };
    until("the first member says that there is no majority", lost).await;
    assert!(at_first.member_list(Consistency::Quorum).await.is_err());
    let known = at_first.member_list(Consistency::Member).await.unwrap();
    assert_eq!(known.len(), 2, "what it knew last");
    assert_eq!(at_first.status().await.unwrap().leader, 0);

    let _running = second.start(&[&first, &second]).await.unwrap();
    until("there is a majority again", healthy).await;
    let removed = || async { at_first.member_remove(added.id).await.is_ok() };
    until("the second member is removed", removed).await;
    let gone = at_first.member_remove(added.id).await.unwrap_err();
    assert!(gone.is_member_absent(), "{gone}");
    assert_eq!(at_first.member_list(Consistency::Quorum).await.unwrap().len(), 1);
}

/// Neither without a certificate of the right CA nor with a member of another name.
#[tokio::test]
async fn strangers_are_refused_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let tls = certificates(directory.path());
    let place = EtcdPlace::new("first", directory.path()).unwrap();
    let _running = place.start(&[&place]).await.unwrap();
    let known = client(&place, &tls);
    until("the member answers", || async { known.status().await.is_ok() }).await;

    let other = tempfile::tempdir().unwrap();
    let foreign = certificates(other.path());
    let stranger = EtcdTls {
        certificate: foreign.certificate,
        key: foreign.key,
        ..tls.clone()
    };
    let misnamed = EtcdTls {
        server_name: "kmc-b-etcd.ns.svc".to_owned(),
        ..tls.clone()
    };
    let mistrusted = EtcdTls {
        ca: foreign.ca,
        ..tls.clone()
    };
    for (what, tls) in [
        ("client", stranger),
        ("name", misnamed),
        ("authority", mistrusted),
    ] {
        let answer = client(&place, &tls).status().await;
        assert!(matches!(answer, Err(EtcdError::Request(_))), "{what}: {answer:?}");
    }
    assert!(known.status().await.is_ok());
}
