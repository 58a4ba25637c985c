//! From specs as users write them, and the Secrets they name, to the way to a host.

use std::sync::Arc;

use k0smotron_api::infrastructure::v1beta2::RemoteMachineSpec;
use k0smotron_ssh::Elevation;
use secrecy::{ExposeSecret, SecretString};

use super::{
    access::{self, Secrets},
    report_tests::observed,
};

fn spec(yaml: &str) -> RemoteMachineSpec {
    serde_yaml::from_str(yaml).unwrap()
}

fn secrets(name: &str, texts: &[(&str, &str)]) -> Secrets {
    let texts = texts
        .iter()
        .map(|(key, text)| ((*key).to_owned(), SecretString::from(*text)));
    Secrets::from([(name.to_owned(), Some(texts.collect()))])
}

#[test]
fn every_secret_on_the_way_is_read() {
    let spec = spec("{sshKeyRef: {name: key}, elevation: {method: sudo, passwordRef: {name: a, key: b}}}");
    assert_eq!(
        access::secrets(&spec).into_iter().collect::<Vec<_>>(),
        ["a", "key"]
    );
}

#[test]
fn a_password_is_one_line_of_its_secret() {
    let spec = spec("{user: ops, elevation: {method: sudo, passwordRef: {name: a, key: b}}}");
    let of = |texts: &[(&str, &str)]| access::elevation(&secrets("a", texts), &spec);
    let given = |text: &str| match of(&[("b", text)]).unwrap() {
        Elevation::Sudo(Some(password)) => password.expose_secret().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(given(" hunter2 "), " hunter2 ");
    assert_eq!(given("hunter2\r\n"), "hunter2");
    let refused = |texts: &[(&str, &str)]| of(texts).unwrap_err();
    let problem = refused(&[("b", "hunter2\nhunter3\n")]);
    assert_eq!(problem.reason, "InvalidPassword");
    assert!(!problem.message.contains("hunter"), "{}", problem.message);
    for texts in [&[("b", "\n")][..], &[("c", "x")]] {
        let problem = refused(texts);
        assert_eq!(problem.reason, "PasswordNotFound");
        assert!(
            problem
                .message
                .contains("under its key b, where the password of ops"),
            "{}",
            problem.message
        );
    }
    let gone = access::elevation(&Secrets::new(), &spec).unwrap_err();
    assert!(
        gone.message.starts_with("Secret a does not exist; make it"),
        "{}",
        gone.message
    );
}

#[test]
fn the_old_field_and_the_new_one_say_the_same() {
    let of = |yaml: &str| format!("{:?}", access::elevation(&Secrets::new(), &spec(yaml)).unwrap());
    assert_eq!(of("{useSudo: true}"), of("{elevation: {method: sudo}}"));
    assert_eq!(of("{}"), of("{elevation: {method: none}}"));
    assert_eq!(of("{elevation: {method: doas}}"), "Doas");
}

#[test]
fn each_host_is_logged_in_to_with_its_own_key_or_that_of_the_machine() {
    let mut world = observed();
    Arc::make_mut(&mut world.machine).spec = spec(
        "{address: 10.0.0.1, sshKeyRef: {name: key, certificateKey: cert}, jumpHosts: [{address: x}, \
         {address: y, sshKeyRef: {name: jump, passphraseKey: phrase}}]}",
    );
    world.secrets = secrets(
        "key",
        &[
            ("value", "one"),
            ("cert", "ssh-ed25519-cert-v01@openssh.com AAAA"),
        ],
    );
    let problem = access::target(&world).unwrap_err();
    assert_eq!(problem.reason, "SSHKeyNotFound");
    assert!(
        problem.message.starts_with("Secret jump does not exist"),
        "{}",
        problem.message
    );

    world.secrets.extend(secrets("jump", &[("value", "two")]));
    let problem = access::target(&world).unwrap_err();
    assert!(
        problem
            .message
            .contains("under its key phrase, where the passphrase"),
        "{}",
        problem.message
    );

    world
        .secrets
        .extend(secrets("jump", &[("value", "two"), ("phrase", "three\n")]));
    let target = access::target(&world).unwrap();
    let of_hops: Vec<_> = target
        .hops()
        .into_iter()
        .map(|hop| {
            let passphrase = hop.passphrase.as_ref().map_or("", |text| text.expose_secret());
            (hop.key.expose_secret(), passphrase, hop.certificate.is_some())
        })
        .collect();
    assert_eq!(
        of_hops,
        [("one", "", true), ("two", "three", false), ("one", "", true)]
    );
}
