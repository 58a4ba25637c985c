//! The server's certificates: what they are, when the next ones are made and when the old ones end. Pure.
//!
//! Each certificate has an authority of its own, whose key is forgotten once it has signed: nobody can sign a second
//! one, and there is nothing to steal but the server's key. A rotation therefore brings a new authority, in steps that
//! leave no moment in which a client trusts something else than what is served:
//!
//! 1. *prepared*: the next pair lies beside the current one, and clients are told to trust both authorities;
//! 2. *switched*: once that has reached them, the next pair is served, and both are still trusted;
//! 3. *dropped*: once every replica serves it, the old authority is trusted no more.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// Keys of the Secret: those of every `kubernetes.io/tls` Secret, as cert-manager fills them, and the next pair.
const SERVING: (&str, &str) = ("tls.crt", "tls.key");
const NEXT: (&str, &str) = ("next.crt", "next.key");
const AUTHORITIES: &str = "ca.crt";

/// Common name of the authorities made here; a pair with another issuer is somebody else's.
const AUTHORITY: &str = "k0smotron webhook authority";
/// Certificates are valid from a little earlier, for clients whose clock is behind.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// When what happens.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Life of a pair. The next one is prepared when two thirds are over.
    pub life: SignedDuration,
    /// From preparing to switching, at least: clients learn of the next authority meanwhile.
    pub switch_after: SignedDuration,
    /// From preparing to trusting the old authority no more: other replicas learn of the switch meanwhile.
    pub drop_after: SignedDuration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            life: SignedDuration::from_hours(365 * 24),
            switch_after: SignedDuration::from_mins(10),
            drop_after: SignedDuration::from_hours(2),
        }
    }
}

/// A certificate, with those between it and its authority, and its key. PEM.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

/// What the Secret holds.
#[derive(Clone)]
pub(super) struct Material {
    pub(super) serving: Pair,
    next: Option<Pair>,
    /// What clients are to trust, PEM, one authority or more.
    pub(super) authorities: String,
}

/// What has been done to the material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Made,
    Prepared,
    Switched,
    Dropped,
    /// A next pair that nobody could use was forgotten.
    Cleared,
}

/// Why a pair cannot be served, or none be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no readable PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("not usable")]
    Tls(#[from] rustls::Error),
    #[error("the certificate is not readable")]
    Certificate,
    #[error("no authority to verify it with")]
    NoAuthority(#[source] Option<rustls::client::VerifierBuilderError>),
    #[error("{0:?} is not a DNS name or address")]
    Name(String),
    #[error("a certificate could not be made")]
    Make(#[from] rcgen::Error),
    #[error("the clock is out of range")]
    Clock(#[from] jiff::Error),
}

impl Material {
    /// Nothing when the Secret holds no pair.
    pub(super) fn read(secret: &Secret) -> Option<Self> {
        let data = secret.data.as_ref()?;
        let text = |key: &str| {
            let bytes = &data.get(key)?.0;
            String::from_utf8(bytes.clone())
                .ok()
                .filter(|text| !text.is_empty())
        };
        let pair = |(certificate, key): (&str, &str)| {
            Some(Pair {
                certificate: text(certificate)?,
                key: text(key)?.into(),
            })
        };
        Some(Self {
            serving: pair(SERVING)?,
            next: pair(NEXT),
            authorities: text(AUTHORITIES).unwrap_or_default(),
        })
    }

    /// Into the Secret; what else is in it stays.
    pub(super) fn write(&self, data: &mut BTreeMap<String, ByteString>) {
        let mut set = |key: &str, text: Option<&str>| match text {
            Some(text) => {
                data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
            }
            None => {
                data.remove(key);
            }
        };
        let next = self.next.as_ref();
        set(SERVING.0, Some(&self.serving.certificate));
        set(SERVING.1, Some(&self.serving.key));
        set(NEXT.0, next.map(|pair| pair.certificate.as_str()));
        set(NEXT.1, next.map(|pair| pair.key.as_str()));
        set(AUTHORITIES, Some(&self.authorities));
    }
}

/// Makes, rotates and judges pairs for a server that is called by `names`.
pub(super) struct Issuance {
    /// DNS names and addresses.
    pub(super) names: Vec<String>,
    pub(super) schedule: Schedule,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Issuance {
    /// The next step, if it is time for one. `injected`: every client has been told to trust `stored.authorities`.
    ///
    /// # Errors
    /// When a pair cannot be made.
    pub(super) fn advance(
        &self,
        stored: Option<&Material>,
        now: Timestamp,
        injected: bool,
    ) -> Result<Option<(Change, Material)>, Error> {
        let Some(stored) =
            stored.filter(|stored| self.is_accepted(&stored.serving, &stored.authorities, now))
        else {
            return self.make(stored, now).map(Some);
        };
        let made = Times::of(&stored.serving)?;
        if let Some(next) = &stored.next {
            if !self.is_accepted(next, &stored.authorities, now) {
                let cleared = Material {
                    next: None,
                    ..stored.clone()
                };
                return Ok(Some((Change::Cleared, cleared)));
            }
            let due = Times::of(next)?.made.checked_add(self.schedule.switch_after)?;
            let switched = || Material {
                serving: next.clone(),
                next: None,
                authorities: stored.authorities.clone(),
            };
            return Ok((injected && now >= due).then(|| (Change::Switched, switched())));
        }
        if now >= made.renewal()? {
            let (next, authority) = self.issue(now)?;
            let prepared = Material {
                next: Some(next),
                authorities: joined(&stored.authorities, &authority),
                serving: stored.serving.clone(),
            };
            return Ok(Some((Change::Prepared, prepared)));
        }
        if made.ours && now >= made.made.checked_add(self.schedule.drop_after)? {
            let needed: String = blocks(&stored.authorities)
                .filter(|authority| self.is_accepted(&stored.serving, authority, now))
                .collect();
            if needed != stored.authorities {
                let dropped = Material {
                    authorities: needed,
                    ..stored.clone()
                };
                return Ok(Some((Change::Dropped, dropped)));
            }
        }
        Ok(None)
    }

    /// When [`Issuance::advance`] will have something to do, as far as time decides.
    ///
    /// # Errors
    /// When the material is not readable.
    pub(super) fn due(&self, stored: &Material) -> Result<Timestamp, Error> {
        let times = Times::of(&stored.serving)?;
        if let Some(next) = &stored.next {
            return Ok(Times::of(next)?.made.checked_add(self.schedule.switch_after)?);
        }
        let renewal = times.renewal()?;
        if times.ours && blocks(&stored.authorities).count() > 1 {
            return Ok(renewal.min(times.made.checked_add(self.schedule.drop_after)?));
        }
        Ok(renewal)
    }

    /// A first pair, or one in the place of what clients do not accept any more. Authorities that other replicas may
    /// still serve with stay trusted.
    fn make(&self, stored: Option<&Material>, now: Timestamp) -> Result<(Change, Material), Error> {
        let (serving, authority) = self.issue(now)?;
        let old: String = stored
            .iter()
            .flat_map(|stored| blocks(&stored.authorities))
            .filter(|block| {
                CertificateDer::from_pem_slice(block.as_bytes()).is_ok_and(|der| is_valid(&der, now))
            })
            .collect();
        let made = Material {
            serving,
            next: None,
            authorities: joined(&old, &authority),
        };
        Ok((Change::Made, made))
    }

    /// A pair and its authority, PEM.
    fn issue(&self, now: Timestamp) -> Result<(Pair, String), Error> {
        let mut authority = self.params(now, Vec::new(), AUTHORITY)?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut params = self.params(now, self.names.clone(), "k0smotron webhook server")?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let pair = Pair {
            certificate: params.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem().into(),
        };
        Ok((pair, authority_pem))
    }

    fn params(
        &self,
        now: Timestamp,
        names: Vec<String>,
        common_name: &str,
    ) -> Result<CertificateParams, Error> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + since_epoch(now.checked_sub(BACKDATED)?);
        params.not_after = epoch + since_epoch(now.checked_add(self.schedule.life)?);
        Ok(params)
    }

    /// Whether a client that trusts `authorities` would accept the pair, by all names.
    fn is_accepted(&self, pair: &Pair, authorities: &str, now: Timestamp) -> bool {
        match self.check(pair, authorities, now) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(error = %crate::controller::chain(&error), "a webhook certificate is not accepted");
                false
            }
        }
    }

    fn check(&self, pair: &Pair, authorities: &str, now: Timestamp) -> Result<(), Error> {
        let key = certified(pair, &self.provider)?;
        let (leaf, between) = key.cert.split_first().ok_or(Error::Certificate)?;
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            roots.add(authority.map_err(Error::Pem)?)?;
        }
        if roots.is_empty() {
            return Err(Error::NoAuthority(None));
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| Error::NoAuthority(Some(error)))?;
        let now = UnixTime::since_unix_epoch(since_epoch(now));
        for name in &self.names {
            let name = ServerName::try_from(name.as_str()).map_err(|_| Error::Name(name.clone()))?;
            verifier.verify_server_cert(leaf, between, &name, &[], now)?;
        }
        Ok(())
    }
}

/// The pair as a server uses it.
///
/// # Errors
/// When it is not readable, or key and certificate do not belong together.
pub(super) fn certified(pair: &Pair, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pair.certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(Error::Pem)?;
    if chain.is_empty() {
        return Err(Error::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(Error::Pem)?;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

/// What the certificate itself says.
struct Times {
    made: Timestamp,
    ends: Timestamp,
    ours: bool,
}

impl Times {
    fn of(pair: &Pair) -> Result<Self, Error> {
        let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).map_err(Error::Pem)?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| Error::Certificate)?;
        let validity = certificate.validity();
        let ours = certificate
            .issuer()
            .iter_common_name()
            .any(|name| name.as_str().is_ok_and(|name| name == AUTHORITY));
        let begins = Timestamp::from_second(validity.not_before.timestamp())?;
        Ok(Self {
            made: if ours {
                begins.checked_add(BACKDATED)?
            } else {
                begins
            },
            ends: Timestamp::from_second(validity.not_after.timestamp())?,
            ours,
        })
    }

    /// After two thirds of the life. Whoever made a pair that is not ours renews it then too: only when that has not
    /// happened after five sixths it is replaced.
    fn renewal(&self) -> Result<Timestamp, jiff::Error> {
        let sixth = self.ends.duration_since(self.made) / 6;
        self.made.checked_add(sixth * if self.ours { 4 } else { 5 })
    }
}

fn is_valid(certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, certificate)| certificate.validity().not_after.timestamp() > now.as_second())
}

/// The certificates of a PEM text, one by one, each ending with a line break.
fn blocks(pem: &str) -> impl Iterator<Item = String> {
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_inclusive(END)
        .filter(|block| block.ends_with(END))
        .map(|block| format!("{}\n", block.trim()))
}

fn joined(authorities: &str, another: &str) -> String {
    blocks(authorities).chain(blocks(another)).collect()
}

fn since_epoch(time: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(time.as_second()).unwrap_or_default())
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
