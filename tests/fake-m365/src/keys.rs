//! The keys that sign ID tokens: RS256 (RFC 7518, 3.3), made when first asked for, rotated on demand.
//! Not here: what is signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use num_bigint::BigUint;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{prime, random};

const EXPONENT: u32 = 65_537;

/// In bytes.
const MODULUS: usize = 256;

/// What precedes a SHA-256 hash under a signature (RFC 8017, 9.2, note 1).
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// The keys, newest last.
#[derive(Default)]
pub(crate) struct Keys(Vec<Key>);

struct Key {
    id: String,
    modulus: BigUint,
    private: BigUint,
}

impl Keys {
    pub(crate) fn rotate(&mut self) {
        // There is an old one only where somebody could have seen it, and then it must stay the same.
        self.ensure();
        self.0.push(Key::generate());
    }

    pub(crate) fn forget_old(&mut self) {
        self.ensure();
        self.0.drain(..self.0.len() - 1);
    }

    fn ensure(&mut self) {
        if self.0.is_empty() {
            self.0.push(Key::generate());
        }
    }

    /// The JWK set as Entra writes it: without `alg`. Certificates (`x5c`) are left out.
    pub(crate) fn published(&mut self, issuer: &str) -> Value {
        self.ensure();
        let keys: Vec<Value> = self.0.iter().map(|key| key.published(issuer)).collect();
        json!({ "keys": keys })
    }

    /// A signed token (RFC 7515, compact form).
    pub(crate) fn sign(&mut self, claims: &Value) -> String {
        self.ensure();
        let key = self.0.last().expect("one was just made sure of");
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": key.id});
        let signed = format!("{}.{}", part(header.to_string().as_bytes()), part(claims.to_string().as_bytes()));
        let signature = key.signature(signed.as_bytes());
        format!("{signed}.{}", part(&signature))
    }
}

fn part(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Key {
    fn generate() -> Self {
        let exponent = BigUint::from(EXPONENT);
        loop {
            let (p, q) = (prime::prime(), prime::prime());
            let order = (&p - 1_u8) * (&q - 1_u8);
            // There is no inverse when 65,537 divides p - 1 or q - 1: then two others.
            if let Some(private) = exponent.modinv(&order)
                && p != q
            {
                return Self { id: part(&random::bytes::<20>()), modulus: p * q, private };
            }
        }
    }

    fn published(&self, issuer: &str) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "kid": self.id, "x5t": self.id,
            "n": part(&self.modulus.to_bytes_be()), "e": "AQAB",
            "cloud_instance_name": "microsoftonline.com", "issuer": issuer,
        })
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2).
    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let hash = Sha256::digest(message);
        let mut block = vec![0xff; MODULUS];
        (block[0], block[1]) = (0, 1);
        let tail = MODULUS - DIGEST_INFO.len() - hash.len();
        block[tail - 1] = 0;
        block[tail..tail + DIGEST_INFO.len()].copy_from_slice(&DIGEST_INFO);
        block[tail + DIGEST_INFO.len()..].copy_from_slice(&hash);
        let number = BigUint::from_bytes_be(&block).modpow(&self.private, &self.modulus).to_bytes_be();
        let mut signature = vec![0; MODULUS - number.len()];
        signature.extend(number);
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_opens_to_the_padded_hash_under_the_published_key_only() {
        let mut keys = Keys::default();
        let token = keys.sign(&json!({"sub": "x"}));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let open = |key: &Key| {
            let number = BigUint::from_bytes_be(&URL_SAFE_NO_PAD.decode(signature).unwrap());
            number.modpow(&BigUint::from(EXPONENT), &key.modulus).to_bytes_be()
        };
        let hash = Sha256::digest(signed.as_bytes());
        let opened = open(&keys.0[0]);
        // The leading zero byte is no part of a number.
        assert_eq!((opened.len(), opened[0]), (255, 1));
        assert!(opened.ends_with(&[&[0], &DIGEST_INFO[..], &hash[..]].concat()));
        keys.rotate();
        assert_ne!(open(&keys.0[1]), opened);
    }

    #[test]
    fn a_new_key_signs_and_the_old_one_stays_published_until_it_is_forgotten() {
        let mut keys = Keys::default();
        let ids = |keys: &mut Keys| -> Vec<Value> {
            keys.published("i")["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
        };
        let before = ids(&mut keys);
        keys.rotate();
        let both = ids(&mut keys);
        assert_eq!((both.len(), &both[0]), (2, &before[0]));
        let token = keys.sign(&json!({}));
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&header).unwrap()["kid"], both[1]);
        keys.forget_old();
        assert_eq!(ids(&mut keys), [both[1].clone()]);
    }
}
