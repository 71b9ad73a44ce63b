//! The keys that seal what the service must read again: refresh tokens of Entra, above all.
//! Not here: what is hashed because it need not be read again.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ring::hmac;

use crate::place;
use crate::secret::{decode, encode, random};

const NONCE: usize = 24;

/// Keys from a file: one per line, `ID KEY`, the newest first. The newest seals; all open.
#[derive(Clone)]
pub struct Keys {
    path: Arc<PathBuf>,
    read: Arc<Mutex<Read>>,
}

struct Read {
    stamp: Option<Stamp>,
    ring: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: u8,
    bytes: [u8; 32],
}

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file.
    #[error("cannot use the key file `{path}`: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was sealed by a key that is gone, or altered.
    #[error("cannot open what was sealed: the key {0} is missing, or it was altered")]
    Sealed(u8),
}

impl Keys {
    /// Reads the file; makes it, with one key, where there is none.
    ///
    /// # Errors
    /// When it cannot be read or made, or is no key file.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let text = place::read_or_create(path, || Ok(Key::fresh(1)?.line())).map_err(failed)?;
        let ring = parse(&text).map_err(failed)?;
        let read = Read { stamp: stamp(path), ring };
        Ok(Self { path: Arc::new(path.to_owned()), read: Arc::new(Mutex::new(read)) })
    }

    /// Seals `plain`. Only who names the same `place` (a table and a row) can open it: what is moved to another row
    /// is worth nothing there.
    ///
    /// # Errors
    /// When the file cannot be read, or there are no random numbers.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let key = self.newest()?;
        let nonce = random::<NONCE>().map_err(|why| self.failed(io::Error::other(why)))?;
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = key.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyError::Sealed(key.id))?;
        Ok([&[key.id][..], &nonce, &sealed].concat())
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// When its key is gone, or it is not what was sealed.
    pub fn open_sealed(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (&id, rest) = sealed.split_first().ok_or(KeyError::Sealed(0))?;
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or(KeyError::Sealed(id))?;
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| KeyError::Sealed(id))?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        let key = self.by_id(id)?;
        key.cipher().decrypt(&XNonce::from(nonce), payload).map_err(|_| KeyError::Sealed(id))
    }

    /// A value that follows from `input` for who has the key, and is random to everybody else. With it goes the number of
    /// the key.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn derive(&self, purpose: &str, input: &[u8]) -> Result<(u8, [u8; 32]), KeyError> {
        let key = self.newest()?;
        Ok((key.id, key.derive(purpose, input)))
    }

    /// As `derive`, with the key of this number.
    ///
    /// # Errors
    /// When it is gone.
    pub fn derive_again(&self, id: u8, purpose: &str, input: &[u8]) -> Result<[u8; 32], KeyError> {
        Ok(self.by_id(id)?.derive(purpose, input))
    }

    /// Adds a key, which seals from now on; those in `in_use` and the one before stay. Running processes notice.
    ///
    /// # Errors
    /// When the file cannot be written, or all 255 numbers are in use.
    pub fn rotate(&self, in_use: &[u8]) -> Result<u8, KeyError> {
        let ring = self.current()?;
        let newest = ring.first().map_or(0, |key| key.id);
        let taken = |id: u8| ring.iter().any(|key| key.id == id);
        let id = (1..=u8::MAX).map(|step| newest.wrapping_add(step)).find(|id| *id != 0 && !taken(*id));
        let id = id.ok_or_else(|| self.failed(io::Error::other("there are 255 keys already")))?;
        let kept = ring.iter().filter(|key| key.id == newest || in_use.contains(&key.id)).map(Key::line);
        let fresh = Key::fresh(id).map_err(|error| self.failed(error))?.line();
        let text = std::iter::once(fresh).chain(kept).collect::<String>();
        place::replace_private(&self.path, &text).map_err(|error| self.failed(error))?;
        self.current()?;
        Ok(id)
    }

    fn newest(&self) -> Result<Key, KeyError> {
        let ring = self.current()?;
        Ok(ring.into_iter().next().expect("a key file without a key is refused when it is read"))
    }

    fn by_id(&self, id: u8) -> Result<Key, KeyError> {
        self.current()?.into_iter().find(|key| key.id == id).ok_or(KeyError::Sealed(id))
    }

    /// The keys as the file has them now: another process may have added one.
    fn current(&self) -> Result<Vec<Key>, KeyError> {
        let now = stamp(&self.path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_some() && now != read.stamp {
            let text = std::fs::read_to_string(&*self.path).map_err(|error| self.failed(error))?;
            read.ring = parse(&text).map_err(|error| self.failed(error))?;
            read.stamp = now;
        }
        Ok(read.ring.clone())
    }

    fn failed(&self, source: io::Error) -> KeyError {
        KeyError::File { path: self.path.to_path_buf(), source }
    }
}

impl Key {
    fn fresh(id: u8) -> io::Result<Self> {
        Ok(Self { id, bytes: random().map_err(io::Error::other)? })
    }

    fn line(&self) -> String {
        format!("{} {}\n", self.id, encode(&self.bytes))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.bytes.into())
    }

    fn derive(&self, purpose: &str, input: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.bytes));
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(input);
        let mut derived = [0; 32];
        derived.copy_from_slice(context.sign().as_ref());
        derived
    }
}

fn parse(text: &str) -> io::Result<Vec<Key>> {
    let line = |line: &str| {
        let (id, key) = line.split_once(' ')?;
        Some(Key { id: id.parse().ok().filter(|id| *id > 0)?, bytes: decode(key.trim())?.try_into().ok()? })
    };
    let keys: Option<Vec<Key>> = text.lines().filter(|text| !text.trim().is_empty()).map(line).collect();
    keys.filter(|keys| !keys.is_empty())
        .ok_or_else(|| io::Error::other("each line must be a number from 1 to 255 and a key of 32 bytes in base64url"))
}

/// Of the file, which is always replaced by another one: two of them may be of the same moment.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.modified().ok()?))
}

/// The inode, and when it was written.
type Stamp = (u64, SystemTime);

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (tempfile::TempDir, Keys) {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::open(&dir.path().join("keys")).unwrap();
        (dir, keys)
    }

    #[test]
    fn what_is_sealed_opens_in_its_own_place_only() {
        let (_dir, keys) = keys();
        let sealed = keys.seal("entra_tokens/1", b"refresh").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"refresh"));
        assert_eq!(keys.open_sealed("entra_tokens/1", &sealed).unwrap(), b"refresh");
        assert!(keys.open_sealed("entra_tokens/2", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(keys.open_sealed("entra_tokens/1", &altered).is_err(), "byte {at}");
        }
        assert!(keys.open_sealed("entra_tokens/1", &sealed[..10]).is_err());
    }

    #[test]
    fn a_rotation_seals_anew_and_still_opens_what_is_old_in_every_process() {
        let (dir, keys) = keys();
        let other = Keys::open(&dir.path().join("keys")).unwrap();
        let old = keys.seal("a", b"old").unwrap();
        let id = keys.rotate(&[old[0]]).unwrap();
        let new = keys.seal("a", b"new").unwrap();
        assert_eq!((old[0], new[0]), (1, id));
        assert_eq!(other.open_sealed("a", &new).unwrap(), b"new");
        assert_eq!(keys.open_sealed("a", &old).unwrap(), b"old");
        keys.rotate(&[]).unwrap();
        assert!(keys.open_sealed("a", &old).is_err(), "a key that nothing uses is dropped");
        assert_eq!(keys.open_sealed("a", &new).unwrap(), b"new");
    }

    #[test]
    fn a_file_that_holds_no_keys_is_refused_without_its_contents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        for text in ["", "secret", "0 AAAA", "1 AAAA"] {
            let _ = std::fs::remove_file(&path);
            place::read_or_create(&path, || Ok(text.to_owned())).unwrap();
            let error = Keys::open(&path).err().unwrap().to_string();
            assert!(error.contains("32 bytes") && !error.contains("secret"), "{error}");
        }
    }
}
