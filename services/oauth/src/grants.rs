//! What a client may do for a user, and the tokens that stand for it. Each change is one transaction: whatever is killed
//! in between, no token is lost that was given, and none is given twice.
//! Not here: who may ask (`token`), what Entra says to it (`logins`).
//!
//! A refresh token is the number of its grant and a secret. The grant keeps the hash of the current secret and of the one
//! before: that is all it takes to see that an older one comes back, and it does not grow.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::catalog::{Scopes, Service};
use crate::clock::Seconds;
use crate::keys::{KeyError, Keys};
use crate::secret::{Hash, NoRandomness, Secret, decode, encode, hash, random, same};

/// A client that lost an answer may ask again with the token that it has, and gets the same answer.
pub const GRACE: Seconds = 30;

const ACCESS: &str = "mcp_at_";
const REFRESH: &str = "mcp_rt_";

/// The number of a grant.
pub type GrantId = [u8; 16];

/// What a client may do for a user.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Its number.
    pub id: GrantId,
    /// Who.
    pub client: String,
    /// Whose.
    pub user: User,
    /// Where.
    pub service: Service,
    /// What.
    pub scopes: Scopes,
    /// The application at Entra that it rests on.
    pub app: String,
}

/// A user, as the last login told.
#[derive(Debug, Clone)]
pub struct User {
    /// Our name for them.
    pub id: String,
    /// Tenant.
    pub tid: String,
    /// Number within it.
    pub oid: String,
    /// Name for logins.
    pub upn: String,
}

/// Tokens for a client.
#[derive(Debug, Clone)]
pub struct Issued {
    /// For the service.
    pub access: Secret,
    /// Until when.
    pub access_expires_at: Seconds,
    /// For further ones.
    pub refresh: Option<Secret>,
    /// What the access token is good for.
    pub scopes: Scopes,
}

/// How long tokens are good.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Access tokens.
    pub access: Seconds,
    /// Refresh tokens, from their last use on.
    pub refresh: Seconds,
}

/// What cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// No keys.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A refresh token, taken apart.
pub struct RefreshToken {
    /// The number of its grant.
    pub grant: GrantId,
    text: String,
}

impl RefreshToken {
    /// Reads it; nothing when it is none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = decode(text.strip_prefix(REFRESH)?)?;
        let (grant, secret) = bytes.split_first_chunk::<16>()?;
        (secret.len() == 32).then(|| Self { grant: *grant, text: text.to_owned() })
    }

    fn write(grant: GrantId, secret: &[u8; 32]) -> Secret {
        Secret::new(format!("{REFRESH}{}", encode(&[&grant[..], secret].concat())))
    }
}

/// Fresh tokens, made before the transaction that stores them.
pub struct Fresh {
    grant: GrantId,
    access: Secret,
    refresh: Option<Secret>,
}

impl Fresh {
    /// For a new grant; with a refresh token where the client can use one.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn mint(refreshes: crate::clients::Refreshes) -> Result<Self, MintError> {
        let grant = random()?;
        let refresh = match refreshes {
            crate::clients::Refreshes::Yes => Some(RefreshToken::write(grant, &random()?)),
            crate::clients::Refreshes::No => None,
        };
        Ok(Self { grant, access: Secret::random(ACCESS)?, refresh })
    }
}

/// The tokens that follow a refresh token. The same one is always followed by the same ones, for who has the key: so
/// whoever must ask twice gets one answer.
pub struct Successors {
    key: u8,
    access: Secret,
    refresh: Secret,
}

impl Successors {
    /// With the newest key.
    ///
    /// # Errors
    /// When there are no keys.
    pub fn of(keys: &Keys, token: &RefreshToken) -> Result<Self, MintError> {
        let (key, refresh) = keys.derive("refresh", token.text.as_bytes())?;
        let access = keys.derive_again(key, "access", token.text.as_bytes())?;
        Ok(Self::new(key, token.grant, &access, &refresh))
    }

    /// With the key of this number.
    ///
    /// # Errors
    /// When it is gone.
    pub fn again(keys: &Keys, key: u8, token: &RefreshToken) -> Result<Self, MintError> {
        let refresh = keys.derive_again(key, "refresh", token.text.as_bytes())?;
        let access = keys.derive_again(key, "access", token.text.as_bytes())?;
        Ok(Self::new(key, token.grant, &access, &refresh))
    }

    fn new(key: u8, grant: GrantId, access: &[u8; 32], refresh: &[u8; 32]) -> Self {
        let access = Secret::new(format!("{ACCESS}{}", encode(access)));
        Self { key, access, refresh: RefreshToken::write(grant, refresh) }
    }
}

/// Stores a new grant with its first tokens. Its number is in `fresh`.
///
/// # Errors
/// As SQLite says.
pub fn create(
    connection: &Connection,
    now: Seconds,
    fresh: Fresh,
    code: &crate::pending::Code,
    lifetimes: Lifetimes,
) -> rusqlite::Result<(GrantId, Issued)> {
    let Fresh { grant, access, refresh } = fresh;
    let wish = &code.wish;
    let access_expires_at = now + lifetimes.access;
    let expires_at = if refresh.is_some() { now + lifetimes.refresh } else { access_expires_at };
    connection
        .prepare_cached(
            "INSERT INTO grants (id, user_id, client_id, service, scopes, app, created_at, expires_at, refresh_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((
            grant,
            &code.user,
            &wish.client_id,
            wish.service.name(),
            wish.scopes.to_string(),
            &code.app,
            now,
            expires_at,
            refresh.as_ref().map(Secret::hash),
        ))?;
    insert_access(connection, now, &grant, &access, &wish.scopes, access_expires_at)?;
    Ok((grant, Issued { access, access_expires_at, refresh, scopes: wish.scopes.clone() }))
}

/// What a refresh token is worth.
pub enum Worth {
    /// It is the current one.
    Current(Grant),
    /// It is the one before, within the grace: who asks lost the answer. The key that made its successors.
    Lost(Grant, u8),
    /// It was followed by another long ago: somebody else has a copy.
    Reused(Grant),
    /// Nothing.
    Nothing,
}

/// Looks what a refresh token is worth.
///
/// # Errors
/// As SQLite says.
pub fn worth(connection: &Connection, now: Seconds, token: &RefreshToken) -> rusqlite::Result<Worth> {
    let sql = "SELECT g.id, g.client_id, g.service, g.scopes, g.app, u.id, u.tid, u.oid, u.upn,
                      g.refresh_hash, g.previous_hash, g.previous_key, g.rotated_at
               FROM grants AS g JOIN users AS u ON u.id = g.user_id WHERE g.id = ?1 AND g.expires_at > ?2";
    let found = connection
        .prepare_cached(sql)?
        .query_row((token.grant, now), |row| {
            let hashes: (Option<Hash>, Option<Hash>) = (row.get(9)?, row.get(10)?);
            let rotation: (Option<u8>, Option<Seconds>) = (row.get(11)?, row.get(12)?);
            Ok((grant(row)?, hashes, rotation))
        })
        .optional()?;
    let Some((Some(grant), (current, previous), (key, rotated_at))) = found else {
        return Ok(Worth::Nothing);
    };
    let given = hash(&token.text);
    let is = |stored: Option<Hash>| stored.is_some_and(|stored| same(&stored, &given));
    Ok(match (current, is(current), is(previous), key, rotated_at) {
        (None, ..) => Worth::Nothing,
        (_, true, ..) => Worth::Current(grant),
        // However the clock was set meanwhile.
        (_, false, true, Some(key), Some(at)) if (now - at).abs() <= GRACE => Worth::Lost(grant, key),
        // Nobody can know the number of a grant but from one of its tokens.
        (_, false, ..) => Worth::Reused(grant),
    })
}

/// Puts the successors of a current refresh token in its place.
///
/// # Errors
/// As SQLite says.
pub fn rotate(
    connection: &Connection,
    now: Seconds,
    grant: &Grant,
    successors: Successors,
    scopes: Scopes,
    lifetimes: Lifetimes,
) -> rusqlite::Result<Issued> {
    let Successors { key, access, refresh } = successors;
    connection
        .prepare_cached(
            "UPDATE grants SET previous_hash = refresh_hash, refresh_hash = ?2, previous_key = ?3, rotated_at = ?4,
                               expires_at = ?5 WHERE id = ?1",
        )?
        .execute((grant.id, refresh.hash(), key, now, now + lifetimes.refresh))?;
    let access_expires_at = now + lifetimes.access;
    insert_access(connection, now, &grant.id, &access, &scopes, access_expires_at)?;
    Ok(Issued { access, access_expires_at, refresh: Some(refresh), scopes })
}

/// The tokens that were given before; nothing when they are gone.
///
/// # Errors
/// As SQLite says.
pub fn again(connection: &Connection, now: Seconds, successors: Successors) -> rusqlite::Result<Option<Issued>> {
    let Successors { access, refresh, .. } = successors;
    let stored: Option<(String, Seconds)> = connection
        .prepare_cached("SELECT scopes, expires_at FROM access_tokens WHERE hash = ?1 AND expires_at > ?2")?
        .query_row((access.hash(), now), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(stored.map(|(scopes, access_expires_at)| Issued {
        access,
        access_expires_at,
        refresh: Some(refresh),
        scopes: Scopes::stored(&scopes),
    }))
}

/// An access token that is good.
#[derive(Debug, Clone)]
pub struct Access {
    /// What it stands for.
    pub grant: Grant,
    /// What it is good for; no more than the grant.
    pub scopes: Scopes,
    /// Since when.
    pub issued_at: Seconds,
    /// Until when.
    pub expires_at: Seconds,
}

/// The access token of this text, if it is good now.
///
/// # Errors
/// As SQLite says.
pub fn access(connection: &Connection, now: Seconds, token: &str) -> rusqlite::Result<Option<Access>> {
    if !token.starts_with(ACCESS) {
        return Ok(None);
    }
    let sql = "SELECT g.id, g.client_id, g.service, g.scopes, g.app, u.id, u.tid, u.oid, u.upn,
                      a.scopes, a.issued_at, a.expires_at
               FROM access_tokens AS a JOIN grants AS g ON g.id = a.grant_id JOIN users AS u ON u.id = g.user_id
               WHERE a.hash = ?1 AND a.expires_at > ?2";
    let found = connection
        .prepare_cached(sql)?
        .query_row((hash(token), now), |row| {
            let scopes: String = row.get(9)?;
            Ok(grant(row)?.map(|grant| (grant, scopes, row.get(10), row.get(11))))
        })
        .optional()?;
    let Some((grant, scopes, issued_at, expires_at)) = found.flatten() else {
        return Ok(None);
    };
    Ok(Some(Access { grant, scopes: Scopes::stored(&scopes), issued_at: issued_at?, expires_at: expires_at? }))
}

/// Takes a grant back, with all its tokens.
///
/// # Errors
/// As SQLite says.
pub fn revoke(connection: &Connection, id: &GrantId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM grants WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Takes one access token back.
///
/// # Errors
/// As SQLite says.
pub fn revoke_access(connection: &Connection, token: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM access_tokens WHERE hash = ?1")?.execute([hash(token)])?;
    Ok(())
}

/// Takes back all grants that rest on one login.
///
/// # Errors
/// As SQLite says.
pub fn revoke_all_of(connection: &Connection, user: &str, app: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM grants WHERE user_id = ?1 AND app = ?2")?.execute([user, app])?;
    Ok(())
}

fn insert_access(
    connection: &Connection,
    now: Seconds,
    grant: &GrantId,
    token: &Secret,
    scopes: &Scopes,
    expires_at: Seconds,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO access_tokens (hash, grant_id, scopes, issued_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((token.hash(), grant, scopes.to_string(), now, expires_at))?;
    Ok(())
}

/// The first nine columns of both statements. Nothing for a service that this program does not know.
fn grant(row: &Row<'_>) -> rusqlite::Result<Option<Grant>> {
    let (service, scopes): (String, String) = (row.get(2)?, row.get(3)?);
    let Some(service) = Service::named(&service) else {
        return Ok(None);
    };
    let user = User { id: row.get(5)?, tid: row.get(6)?, oid: row.get(7)?, upn: row.get(8)? };
    let (id, client, app) = (row.get(0)?, row.get(1)?, row.get(4)?);
    Ok(Some(Grant { id, client, user, service, scopes: Scopes::stored(&scopes), app }))
}
