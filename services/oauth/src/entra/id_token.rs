//! Id tokens of Entra: JSON Web Tokens, signed with RS256, and nothing else.
//! Not here: where the keys come from.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::directory::Key;
use crate::clock::Seconds;
use crate::secret::{Hash, decode, hash, same};

/// How far two clocks may be apart. Microsoft's own libraries allow 5 minutes.
const SKEW: Seconds = 300;

/// Who logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tenant.
    pub tid: String,
    /// The user within it. For ever the same.
    pub oid: String,
    /// What the user is called at login. May change.
    pub upn: String,
    /// What people call the user.
    pub name: String,
}

impl Identity {
    /// Our name for the user.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}@{}", self.oid, self.tid)
    }
}

/// Why an id token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIdToken {
    /// It is none.
    #[error("the id token cannot be read")]
    Unreadable,
    /// Signed in another way.
    #[error("the id token is not signed with RS256")]
    Algorithm,
    /// Signed with a key that Entra does not list.
    #[error("the id token is signed with an unknown key")]
    UnknownKey,
    /// Altered, or signed by somebody else.
    #[error("the signature of the id token is wrong")]
    Signature,
    /// From another tenant or server.
    #[error("the id token has another issuer")]
    Issuer,
    /// For another application.
    #[error("the id token is for another application")]
    Audience,
    /// Too old or from the future.
    #[error("the id token is not valid now; are the clocks right?")]
    Time,
    /// Of another login.
    #[error("the id token is of another login")]
    Nonce,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: Seconds,
    #[serde(default)]
    nbf: Seconds,
    #[serde(default)]
    iat: Seconds,
    nonce: String,
    tid: String,
    oid: String,
    #[serde(default)]
    preferred_username: String,
    #[serde(default)]
    name: String,
}

/// What a good one must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a Hash,
    pub(super) now: Seconds,
}

/// A token whose signature has not been looked at. Its claims cannot be had.
pub(super) struct Unverified<'a> {
    header: Header,
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    pub(super) fn read(token: &'a str) -> Result<Self, BadIdToken> {
        let (signed, signature) = token.rsplit_once('.').ok_or(BadIdToken::Unreadable)?;
        let (header, claims) = signed.split_once('.').ok_or(BadIdToken::Unreadable)?;
        let signature = decode(signature).ok_or(BadIdToken::Unreadable)?;
        let header: Header = json(header)?;
        if header.alg != "RS256" {
            return Err(BadIdToken::Algorithm);
        }
        Ok(Self { header, signed, claims, signature })
    }

    pub(super) fn key_id(&self) -> &str {
        &self.header.kid
    }

    pub(super) fn verify(self, key: &Key, expected: &Expected<'_>) -> Result<Identity, BadIdToken> {
        RsaPublicKeyComponents { n: &key.modulus, e: &key.exponent }
            .verify(&RSA_PKCS1_2048_8192_SHA256, self.signed.as_bytes(), &self.signature)
            .map_err(|_| BadIdToken::Signature)?;
        let claims: Claims = json(self.claims)?;
        // Where a login may come from several tenants, the issuer names a place for theirs.
        if claims.iss != expected.issuer.replace("{tenantid}", &claims.tid) {
            return Err(BadIdToken::Issuer);
        }
        if claims.aud != expected.client_id {
            return Err(BadIdToken::Audience);
        }
        let Expected { now, .. } = *expected;
        if claims.exp < now - SKEW || claims.nbf > now + SKEW || claims.iat > now + SKEW {
            return Err(BadIdToken::Time);
        }
        if !same(&hash(&claims.nonce), expected.nonce) {
            return Err(BadIdToken::Nonce);
        }
        let Claims { tid, oid, preferred_username: upn, name, .. } = claims;
        Ok(Identity { tid, oid, upn, name })
    }
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, BadIdToken> {
    let bytes = decode(part).ok_or(BadIdToken::Unreadable)?;
    serde_json::from_slice(&bytes).map_err(|_| BadIdToken::Unreadable)
}
