use super::*;

fn issuance() -> Issuance {
    Issuance {
        names: vec![
            "hook.k0smotron.svc".to_owned(),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
        ],
        schedule: Schedule::default(),
        provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
    }
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn step(issuance: &Issuance, stored: Option<&Material>, now: Timestamp) -> (Change, Material) {
    issuance.advance(stored, now, true).unwrap().expect("a step")
}

/// What a Secret would keep of it.
fn stored(material: &Material) -> Material {
    let mut data = BTreeMap::new();
    material.write(&mut data);
    let secret = Secret {
        data: Some(data),
        ..Secret::default()
    };
    Material::read(&secret).unwrap()
}

#[test]
fn a_rotation_never_serves_what_is_not_trusted() {
    let issuance = issuance();
    let (change, first) = step(&issuance, None, now());
    assert_eq!(change, Change::Made);
    let first = stored(&first);
    assert!(issuance.advance(Some(&first), now(), true).unwrap().is_none());

    let renewal = issuance.due(&first).unwrap();
    assert!(
        renewal > now() + days(240) && renewal < now() + days(245),
        "{renewal}"
    );
    let (change, prepared) = step(&issuance, Some(&first), renewal);
    assert_eq!(change, Change::Prepared);
    let prepared = stored(&prepared);
    assert_eq!(prepared.serving.certificate, first.serving.certificate);
    assert_eq!(blocks(&prepared.authorities).count(), 2);

    // Not before clients trust it, and not at once.
    let due = issuance.due(&prepared).unwrap();
    assert_eq!(due, renewal + issuance.schedule.switch_after);
    assert!(issuance.advance(Some(&prepared), due, false).unwrap().is_none());
    assert!(
        issuance
            .advance(Some(&prepared), renewal, true)
            .unwrap()
            .is_none()
    );
    let (change, switched) = step(&issuance, Some(&prepared), due);
    assert_eq!(change, Change::Switched);
    let switched = stored(&switched);
    // Whoever serves the old pair still, or the new one already, is trusted.
    for pair in [&first.serving, &switched.serving] {
        assert!(issuance.is_accepted(pair, &switched.authorities, due));
    }

    let end = issuance.due(&switched).unwrap();
    assert_eq!(end, renewal + issuance.schedule.drop_after);
    assert!(issuance.advance(Some(&switched), due, true).unwrap().is_none());
    let (change, dropped) = step(&issuance, Some(&switched), end);
    assert_eq!(change, Change::Dropped);
    assert_eq!(blocks(&dropped.authorities).count(), 1);
    assert!(issuance.is_accepted(&dropped.serving, &dropped.authorities, end));
    assert!(!issuance.is_accepted(&first.serving, &dropped.authorities, end));
    assert!(issuance.advance(Some(&dropped), end, true).unwrap().is_none());
}

#[test]
fn what_clients_would_refuse_is_replaced() {
    let mut issuance = issuance();
    let (_, first) = step(&issuance, None, now());
    let expired = now() + days(366);
    let (_, other) = step(&issuance, None, now());

    let (change, made) = step(&issuance, Some(&first), expired);
    assert_eq!(
        (change, blocks(&made.authorities).count()),
        (Change::Made, 1),
        "an expired authority is not kept"
    );
    // Key and certificate of different pairs; a certificate of another authority.
    for broken in [
        Material {
            serving: Pair {
                key: other.serving.key.clone(),
                ..first.serving.clone()
            },
            ..first.clone()
        },
        Material {
            authorities: other.authorities,
            ..first.clone()
        },
        Material {
            authorities: String::new(),
            ..first.clone()
        },
        Material {
            authorities: "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned(),
            ..first.clone()
        },
    ] {
        let (change, made) = step(&issuance, Some(&broken), now());
        assert_eq!(change, Change::Made);
        assert!(issuance.is_accepted(&made.serving, &made.authorities, now()));
    }
    // Restored into another namespace.
    issuance.names.push("hook.elsewhere.svc".to_owned());
    let (change, made) = step(&issuance, Some(&first), now());
    assert_eq!(change, Change::Made);
    assert!(issuance.is_accepted(&made.serving, &made.authorities, now()));
    assert_eq!(
        blocks(&made.authorities).count(),
        2,
        "replicas that serve the old one are still trusted"
    );
}

#[test]
fn a_pair_of_cert_manager_is_used_until_nobody_renews_it() {
    let issuance = issuance();
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(issuance.names.clone()).unwrap();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(now());
    params.not_after = epoch + since_epoch(now() + days(90));
    // Self-signed, as the original's Issuer made it: certificate and authority are one.
    let certificate = params.self_signed(&authority_key).unwrap().pem();
    let foreign = Material {
        serving: Pair {
            certificate: certificate.clone(),
            key: authority_key.serialize_pem().into(),
        },
        next: None,
        authorities: certificate,
    };
    assert!(
        issuance
            .advance(Some(&foreign), now() + days(62), true)
            .unwrap()
            .is_none(),
        "its renewal is not ours"
    );
    let (change, prepared) = step(&issuance, Some(&foreign), now() + days(76));
    assert_eq!(change, Change::Prepared);
    assert_eq!(blocks(&prepared.authorities).count(), 2);
    // It is renewed after all, which leaves the prepared pair without authority.
    let renewed = Material {
        next: prepared.next,
        ..foreign
    };
    assert_eq!(step(&issuance, Some(&renewed), now()).0, Change::Cleared);
}
