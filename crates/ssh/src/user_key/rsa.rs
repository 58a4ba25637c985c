//! RSA: from the numbers that OpenSSH stores to a key of the crypto provider, and signatures by it (RFC
//! 8332).

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding};
use crypto_bigint::{BoxedUint, NonZero};
use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Mpint;
use russh::keys::ssh_key::private::RsaKeypair;
use russh::keys::ssh_key::public::{KeyData, RsaPublicKey};
use russh::keys::{HashAlg, PublicKey};
use zeroize::Zeroizing;

use super::InvalidKey;

/// The public half in the form of SSH.
pub(super) fn public_key(pair: &KeyPair) -> Result<PublicKey, InvalidKey> {
    let public = pair.public_key();
    let number = |bytes: &[u8]| Mpint::from_positive_bytes(bytes);
    let key = RsaPublicKey::new(
        number(public.exponent().big_endian_without_leading_zero()),
        number(public.modulus().big_endian_without_leading_zero()),
    );
    key.map(|key| KeyData::Rsa(key).into()).map_err(|_| damaged())
}

/// "openssh-key-v1" stores n, e, d, p, q and qInv; the provider wants d mod (p-1) and d mod (q-1) as well,
/// and checks all of them against one another.
pub(super) fn from_openssh(pair: &RsaKeypair) -> Result<KeyPair, InvalidKey> {
    let (public, private) = (pair.public(), pair.private());
    let (d, p, q) = (
        positive(private.d())?,
        positive(private.p())?,
        positive(private.q())?,
    );
    let (d_p, d_q) = (reduce(d, p)?, reduce(d, q)?);
    KeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents {
            n: positive(public.n())?,
            e: positive(public.e())?,
        },
        d,
        p,
        q,
        dP: &d_p,
        dQ: &d_q,
        qInv: positive(private.iqmp())?,
    })
    .map_err(|error| InvalidKey::Unsupported(format!("this RSA key ({error})")))
}

fn positive(number: &Mpint) -> Result<&[u8], InvalidKey> {
    number.as_positive_bytes().ok_or_else(damaged)
}

/// `d mod (prime - 1)`, in constant time for numbers of the same size.
fn reduce(d: &[u8], prime: &[u8]) -> Result<Zeroizing<Vec<u8>>, InvalidKey> {
    let d = Zeroizing::new(BoxedUint::from_be_slice_vartime(d));
    let prime = Zeroizing::new(BoxedUint::from_be_slice_vartime(prime));
    let less_one = prime.wrapping_sub(BoxedUint::one());
    let modulus =
        Zeroizing::new(Option::<NonZero<BoxedUint>>::from(NonZero::new(less_one)).ok_or_else(damaged)?);
    let remainder = Zeroizing::new(d.rem(&*modulus));
    Ok(Zeroizing::new(remainder.to_be_bytes().into_vec()))
}

fn damaged() -> InvalidKey {
    InvalidKey::Malformed("the numbers of this RSA key are damaged".to_owned())
}

/// Signs what the host wants signed.
pub(crate) struct RsaSigner(pub(crate) Arc<KeyPair>);

/// Why no signature was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    /// The session has ended.
    #[error(transparent)]
    Send(#[from] russh::SendError),
    /// The provider refused, or the numbers do not fit the wire format.
    #[error("the RSA key could not be used to sign")]
    Sign,
}

impl russh::Signer for RsaSigner {
    type Error = SignError;

    /// The request, followed by the signature as SSH writes it: a string of (algorithm, signature).
    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let (name, encoding): (_, &'static dyn RsaEncoding) = match hash {
            Some(HashAlg::Sha512) => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
            _ => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
        };
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(encoding, &SystemRandom::new(), &to_sign, &mut signature)
            .map_err(|_| SignError::Sign)?;
        let mut blob = Vec::new();
        name.encode(&mut blob).map_err(|_| SignError::Sign)?;
        signature.encode(&mut blob).map_err(|_| SignError::Sign)?;
        let mut request = to_sign;
        blob.encode(&mut request).map_err(|_| SignError::Sign)?;
        Ok(request)
    }
}
