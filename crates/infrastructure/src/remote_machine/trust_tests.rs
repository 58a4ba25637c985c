//! From what users say of hosts, and what was kept of them, to what is accepted.

use std::{collections::BTreeMap, sync::Arc};

use k0smotron_ssh::{HostKeyPolicy, NewHost, Target};

use super::{access, observed::Observed, report_tests::observed, trust};
use crate::host::Problem;

const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINYDdJuO7ggR7uQwr8k4sXGsXtRLvLwxNRzNu72oVzee";
const PIN: &str = "ssh-ed25519 SHA256:TY+7jF398fWZpqSN9qfhV9dMUBn4120LYmQ5l+sDElY";
const OTHER: &str = "ecdsa-sha2-nistp384 SHA256:r05MqQZlP2kD6uRGwI5u8KLv9LBef3Y04y+N6z72+I8";
const HOST_KEY: &str = "k0smotron.io/ssh-host-key";
const JUMP_KEYS: &str = "k0smotron.io/ssh-jump-host-keys";

/// A machine at 10.0.0.1 with more in its spec and with annotations.
fn world(spec: &str, annotations: &[(&str, &str)]) -> Observed {
    let mut world = observed();
    let machine = Arc::make_mut(&mut world.machine);
    machine.spec = serde_yaml::from_str(&format!(
        "{{address: 10.0.0.1, sshKeyRef: {{name: key}}, {spec}}}"
    ))
    .unwrap();
    machine.metadata.annotations = Some(
        annotations
            .iter()
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
            .collect(),
    );
    let key = BTreeMap::from([("value".to_owned(), "key".into())]);
    world.secrets.insert("key".to_owned(), Some(key));
    world
}

fn target(world: &Observed) -> Target {
    access::target(world).unwrap_or_else(|problem| panic!("{problem:?}"))
}

/// What is accepted of each host on the way.
fn accepted(world: &Observed) -> Vec<String> {
    target(world)
        .hops()
        .into_iter()
        .map(|hop| match &hop.host_keys {
            HostKeyPolicy::FirstUse => "any".to_owned(),
            HostKeyPolicy::Pinned(pins) => pins.to_string(),
        })
        .collect()
}

fn refused(spec: &str) -> Problem {
    access::target(&world(spec, &[])).unwrap_err()
}

#[test]
fn pins_are_read_as_users_write_them() {
    let one = format!("SHA256:{}", "A".repeat(43));
    assert_eq!(trust::parse_pins(&one).unwrap().len(), 1);
    assert_eq!(
        trust::parse_pins(&format!("ssh-ed25519 {one}\n{one},\n"))
            .unwrap()
            .len(),
        2
    );
    assert!(trust::parse_pins("SHA256:short").is_err());
}

#[test]
fn what_the_spec_says_of_a_host_goes_before_what_was_kept() {
    assert_eq!(accepted(&world("", &[])), ["any"]);
    assert_eq!(accepted(&world("", &[(HOST_KEY, OTHER)])), [OTHER]);
    let (_, fingerprint) = PIN.split_once(' ').unwrap();
    for said in [
        format!("fingerprints: ['{PIN}']"),
        format!("knownHosts: \"10.0.0.9 {LINE}\\n10.0.0.* {LINE}\\n\""),
    ] {
        let spec = format!("hostKeys: {{{said}}}");
        assert!(
            accepted(&world(&spec, &[(HOST_KEY, OTHER)]))[0].starts_with(PIN),
            "{said}"
        );
    }
    let spec = format!("hostKeys: {{fingerprints: ['{fingerprint}='], authorities: ['{LINE} ca']}}");
    assert_eq!(
        accepted(&world(&spec, &[])),
        [format!("{fingerprint}, a certificate of {PIN}")]
    );
}

#[test]
fn what_says_nothing_about_the_host_is_refused() {
    for (said, part) in [
        (
            format!("knownHosts: '10.0.0.9 {LINE}'"),
            "spec.hostKeys says nothing about 10.0.0.1:22",
        ),
        (
            "authorities: [ssh-rsa AAAA]".to_owned(),
            "spec.hostKeys.authorities[0] cannot be read",
        ),
        (
            "knownHosts: '10.0.0.1 ssh-ed25519 AAAA'".to_owned(),
            "spec.hostKeys.knownHosts cannot be read: line 1",
        ),
    ] {
        let problem = refused(&format!("hostKeys: {{{said}}}"));
        assert_eq!(problem.reason, "InvalidHostKeyPin");
        assert!(problem.message.contains(part), "{}", problem.message);
    }
    let problem = refused(&format!(
        "jumpHosts: [{{address: bastion, hostKeys: {{knownHosts: 'b {LINE}'}}}}]"
    ));
    assert!(
        problem
            .message
            .contains("spec.jumpHosts[0].hostKeys says nothing about bastion:22")
    );
}

#[test]
fn every_host_on_the_way_has_keys_of_its_own() {
    let spec = format!(
        "jumpHosts: [{{address: a, user: ops, hostKeys: {{fingerprints: ['{OTHER}']}}}}, {{address: b, port: 2222}}]"
    );
    let kept = format!("a:22 {PIN}\nb:22 {PIN}\n");
    let fresh = world(&spec, &[(JUMP_KEYS, &kept)]);
    assert_eq!(accepted(&fresh), [OTHER, "any", "any"]);
    let hops: Vec<_> = target(&fresh)
        .hops()
        .into_iter()
        .map(|hop| format!("{}@{}", hop.user, hop.endpoint()))
        .collect();
    assert_eq!(hops, ["ops@a:22", "root@b:2222", "root@10.0.0.1:22"]);

    // What is kept when the rest is met, is what is accepted next, by whoever finds the annotations.
    let met =
        [("b:2222", false, PIN), ("10.0.0.1:22", true, OTHER)].map(|(endpoint, is_target, key)| NewHost {
            endpoint: endpoint.to_owned(),
            is_target,
            host_key: key.parse().unwrap(),
        });
    let changes = trust::to_keep(fresh.machine.metadata.annotations.as_ref().unwrap(), &met).unwrap();
    let changes: Vec<_> = changes.iter().map(|(key, text)| (*key, text.as_str())).collect();
    assert_eq!(
        changes,
        [(HOST_KEY, OTHER), (JUMP_KEYS, &format!("{kept}b:2222 {PIN}"))]
    );
    let known = world(&spec, &changes);
    assert_eq!(accepted(&known), [OTHER, PIN, OTHER]);
    let annotations = known.machine.metadata.annotations.as_ref().unwrap();
    assert_eq!(
        trust::to_keep(annotations, &met),
        Some(BTreeMap::new()),
        "kept already"
    );
    // Somebody else kept another one meanwhile.
    for host in 0..2 {
        let mut other = met.clone();
        other[host].host_key = format!("SHA256:{}", "A".repeat(43)).parse().unwrap();
        assert_eq!(trust::to_keep(annotations, &other), None);
    }
}

#[test]
fn a_changed_key_comes_with_the_way_to_accept_it() {
    let spec =
        format!("jumpHosts: [{{address: a, hostKeys: {{fingerprints: ['{OTHER}']}}}}, {{address: b}}]");
    let world = world(&spec, &[]);
    let remedies: Vec<_> = trust::on_changed_key(&world, &target(&world))
        .into_iter()
        .collect();
    let said = |endpoint: &str| &remedies.iter().find(|(of, _)| of == endpoint).unwrap().1;
    assert!(said("a:22").ends_with("change spec.jumpHosts[0].hostKeys of RemoteMachine m"));
    assert!(
        said("b:22").contains("remove the line of b:22 from the annotation k0smotron.io/ssh-jump-host-keys")
    );
    assert!(
        said("10.0.0.1:22").ends_with("remove the annotation k0smotron.io/ssh-host-key from RemoteMachine m")
    );
}
