//! From specs as users write them, and the Secrets they name, to the way to a host.

use k0smotron_api::infrastructure::v1beta2::RemoteMachineSpec;
use k0smotron_ssh::Elevation;
use secrecy::{ExposeSecret, SecretString};

use super::access::{self, Secrets};

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
    let problem = refused(&[("b", "one\ntwo\n")]);
    assert_eq!(problem.reason, "InvalidPassword");
    assert!(!problem.message.contains("one"), "{}", problem.message);
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
fn pins_are_read_as_users_write_them() {
    let one = format!("SHA256:{}", "A".repeat(43));
    assert_eq!(access::parse_pins(&one).unwrap().len(), 1);
    assert_eq!(
        access::parse_pins(&format!("ssh-ed25519 {one}\n{one},\n"))
            .unwrap()
            .len(),
        2
    );
    assert!(access::parse_pins("SHA256:short").is_err());
}
