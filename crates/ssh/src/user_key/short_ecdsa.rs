//! P-256 keys whose number begins with zeros, in OpenSSH form.
//!
//! `ssh-keygen` writes the number without leading zeros (RFC 4251 section 5, mpint), and the library refuses numbers of fewer
//! than 32 bytes: one key in 256 could not be used.

use russh::keys::ssh_key::{
    PrivateKey, PublicKey,
    encoding::Decode,
    private::{EcdsaKeypair, EcdsaPrivateKey},
    public::{EcdsaPublicKey, KeyData},
};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Bytes of the number of a P-256 key.
const SIZE: usize = 32;

/// The key, if it is a P-256 key with a short number and without a passphrase. `content` is what the base64 text stands for
/// (OpenSSH's PROTOCOL.key).
pub(super) fn read(content: &[u8]) -> Option<PrivateKey> {
    let mut rest = content.strip_prefix(MAGIC)?;
    let (cipher, _kdf, _options) = (text(&mut rest)?, text(&mut rest)?, text(&mut rest)?);
    let keys = u32::decode(&mut rest).ok()?;
    if cipher.as_slice() != b"none" || keys != 1 {
        return None;
    }
    let public = PublicKey::from_bytes(&text(&mut rest)?).ok()?;
    let KeyData::Ecdsa(EcdsaPublicKey::NistP256(public)) = *public.key_data() else {
        return None;
    };
    let private = text(&mut rest)?;
    let mut rest = private.as_slice();
    let checks = (u32::decode(&mut rest).ok()?, u32::decode(&mut rest).ok()?);
    let (_algorithm, _curve, point) = (text(&mut rest)?, text(&mut rest)?, text(&mut rest)?);
    if checks.0 != checks.1 || point.as_slice() != public.as_bytes() {
        return None;
    }
    let number = text(&mut rest)?;
    let mut padded = Zeroizing::new([0; SIZE]);
    let zeros = SIZE.checked_sub(number.len())?;
    padded.get_mut(zeros..)?.copy_from_slice(&number);
    Some(PrivateKey::from(EcdsaKeypair::NistP256 {
        public,
        private: EcdsaPrivateKey::from(*padded),
    }))
}

/// The next length-prefixed string.
fn text(rest: &mut &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    Vec::decode(rest).ok().map(Zeroizing::new)
}
