//! Where the service keeps what it must not lose, for its own user's eyes only.
//! Not here: what the files hold.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use service_kit::{ConfigError, Env};

/// The directory and the database.
#[derive(Debug, Clone)]
pub struct Place {
    /// Keys, credentials and, unless it is said otherwise, the database.
    pub dir: PathBuf,
    /// The database.
    pub database: PathBuf,
    /// The keys that seal.
    pub keys: PathBuf,
}

impl Place {
    /// `OAUTH_DATA_DIR`, else the state directory of the XDG specification.
    ///
    /// # Errors
    /// When neither is known, or a path is not absolute.
    pub fn of(env: &Env) -> Result<Self, ConfigError> {
        let dir = match path(env, "OAUTH_DATA_DIR")? {
            Some(dir) => dir,
            None => state_home(env)?.join("m365-mcp/oauth"),
        };
        let database = path(env, "DCR_DATABASE_PATH")?.unwrap_or_else(|| dir.join("oauth.db"));
        let keys = path(env, "DCR_ENCRYPTION_KEY_FILE")?.unwrap_or_else(|| dir.join("encryption.keys"));
        Ok(Self { dir, database, keys })
    }

    /// Makes the directory, for this user alone. One that is there is left as it is: it may be somebody's home.
    ///
    /// # Errors
    /// As the system says, or when others could put files there.
    pub fn prepare(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        if fs::metadata(&self.dir)?.permissions().mode() & 0o022 == 0 {
            return Ok(());
        }
        let dir = self.dir.display();
        Err(io::Error::other(format!("others can write to `{dir}`: choose another, or run `chmod 700 {dir}`")))
    }
}

fn path(env: &Env, name: &str) -> Result<Option<PathBuf>, ConfigError> {
    match env.text(name).map(PathBuf::from) {
        Some(path) if !path.is_absolute() => Err(env.error(name, "is not an absolute path; begin it with `/`")),
        path => Ok(path),
    }
}

fn state_home(env: &Env) -> Result<PathBuf, ConfigError> {
    // As the specification says, what is not absolute does not count.
    let absolute = |name: &str| env.text(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state"))).ok_or_else(|| {
        env.error("OAUTH_DATA_DIR", "is needed here, as neither XDG_STATE_HOME nor HOME says where to keep data")
    })
}

/// A file that did not exist, 0600.
///
/// # Errors
/// As the system says; also when it exists.
pub fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Reads a small file of secrets; where there is none, the first of several processes to come writes `fresh()`, and
/// all read that. Whole or not at all: a process may be killed at any moment.
///
/// # Errors
/// As the system says, or when others could read the file.
pub fn read_or_create(path: &Path, fresh: impl FnOnce() -> io::Result<String>) -> io::Result<String> {
    match read_private(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    // Left by a process that had our number and was killed here.
    let _ = fs::remove_file(&draft);
    let mut file = create_private(&draft)?;
    file.write_all(fresh()?.as_bytes())?;
    file.sync_all()?;
    // A link, unlike a rename, never replaces what another process was quicker to write.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    sync_directory(path)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => read_private(path),
    }
}

/// Puts a new text in the place of an old one, whole or not at all.
///
/// # Errors
/// As the system says.
pub fn replace_private(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut file = create_private(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_directory(path)
}

/// Before anything is stored that only the new file can open.
fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn read_private(path: &Path) -> io::Result<String> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(io::Error::other(format!("`{path}` can be read by others: run `chmod 600 {path}`")));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_for_its_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert_eq!(read_or_create(&path, || Ok("one".to_owned())).unwrap(), "one");
        assert_eq!(read_or_create(&path, || Ok("two".to_owned())).unwrap(), "one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_or_create(&path, || Ok(String::new())).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_directory_that_is_there_is_left_as_it_is_and_refused_where_others_can_write() {
        let home = tempfile::tempdir().unwrap();
        let (dir, file) = (home.path().join("a/b"), PathBuf::new());
        let place = Place { dir: dir.clone(), database: file.clone(), keys: file };
        let mode = || fs::metadata(&dir).unwrap().permissions().mode() & 0o7777;
        place.prepare().unwrap();
        assert_eq!(mode(), 0o700);
        for (given, fine) in [(0o755, true), (0o710, true), (0o775, false), (0o1777, false)] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(given)).unwrap();
            assert_eq!((place.prepare().is_ok(), mode()), (fine, given), "{given:o}");
        }
        assert!(place.prepare().unwrap_err().to_string().contains("chmod 700"));
    }

    #[test]
    fn the_place_follows_the_environment() {
        let of = |variables: &[(&str, &str)]| Place::of(&Env::of(variables.iter().copied())).map(|place| place.dir);
        assert_eq!(of(&[("HOME", "/h")]).unwrap(), Path::new("/h/.local/state/m365-mcp/oauth"));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]).unwrap(), Path::new("/s/m365-mcp/oauth"));
        assert_eq!(of(&[("HOME", "/h"), ("OAUTH_DATA_DIR", "/d")]).unwrap(), Path::new("/d"));
        assert!(of(&[("OAUTH_DATA_DIR", "d")]).unwrap_err().to_string().contains("absolute"));
        assert!(of(&[]).is_err());
    }
}
