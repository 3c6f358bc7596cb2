//! The file itself: locked, read and replaced. Blocks, so it is called from threads that may.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crds::group_record::{FORMAT, FormatError, GroupRecord, GroupRequest, Seen, Version};
use rustix::fs::FlockOperation;
use serde_json::{Value, json};

use super::Found;

/// One file, by its path.
pub(super) struct Stored {
    path: PathBuf,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("`{0}` is missing")]
    Missing(String),
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Nothing was written.
    #[error("{0}")]
    Read(io::Error),
    /// Perhaps written.
    #[error("{0}")]
    Write(io::Error),
    /// Not written: another version is there.
    #[error("version {} came first", .0.seen.version.0)]
    Other(Box<Found>),
}

impl Stored {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes the file if it is missing, and sets the wishes that a configuration can hold.
    pub(super) fn make(&self, wish: &GroupRequest) -> Result<(), Broken> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        match self.load() {
            Ok(found) if is_wished(&found.seen.request, wish) => Ok(()),
            Ok(Found { object, mut seen }) => {
                seen.version.0 += 1;
                seen.request =
                    GroupRequest { copies: wish.copies, min_in_sync: wish.min_in_sync, ..seen.request };
                self.replace(&Found { object, seen })
            }
            Err(Broken::Missing(_)) => {
                let record = GroupRecord::created(1);
                let seen = Seen { version: Version(1), record, request: wish.clone() };
                self.replace(&Found { object: drawn(), seen })
            }
            Err(broken) => Err(broken),
        }
    }

    pub(super) fn read(&self) -> Result<Found, Broken> {
        let _lock = self.lock(FlockOperation::LockShared)?;
        let found = self.load()?;
        // Whoever wrote it may have been killed before this: what was shown once must survive a power cut.
        sync_folder(&self.path).map_err(Broken::Read)?;
        Ok(found)
    }

    /// Replaces the record if the version is still `base`.
    pub(super) fn swap(&self, base: Version, record: GroupRecord) -> Result<Found, Broken> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        let mut found = self.load()?;
        if found.seen.version != base {
            sync_folder(&self.path).map_err(Broken::Read)?;
            return Err(Broken::Other(Box::new(found)));
        }
        found.seen.version.0 += 1;
        found.seen.record = record;
        self.replace(&found)?;
        Ok(found)
    }

    /// What is there, without waiting for whoever changes it: only good to tell whether it changed, as every version
    /// has another text.
    pub(super) fn text(&self) -> Option<String> {
        fs::read_to_string(&self.path).ok()
    }

    /// Held until it is dropped. A file of its own: the other one is replaced, and a lock would stay with the old one.
    fn lock(&self, how: FlockOperation) -> Result<File, Broken> {
        let path = beside(&self.path, ".lock");
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Broken::Read)?;
        rustix::fs::flock(&file, how).map_err(|error| Broken::Read(error.into()))?;
        Ok(file)
    }

    fn load(&self) -> Result<Found, Broken> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Broken::Missing(self.path.display().to_string()));
            }
            Err(error) => return Err(Broken::Read(error)),
        };
        Ok(decode(&text)?)
    }

    fn replace(&self, found: &Found) -> Result<(), Broken> {
        let write = || {
            let path = beside(&self.path, ".new");
            let mut file = File::create(&path)?;
            file.write_all(encode(found).as_bytes())?;
            // Before the rename: some file systems order them the other way, and an empty record is worse than an old one.
            file.sync_all()?;
            fs::rename(&path, &self.path)?;
            sync_folder(&self.path)
        };
        write().map_err(Broken::Write)
    }
}

fn is_wished(request: &GroupRequest, wish: &GroupRequest) -> bool {
    (request.copies, request.min_in_sync) == (wish.copies, wish.min_in_sync)
}

fn encode(Found { object, seen }: &Found) -> String {
    let json = json!({
        "v": FORMAT,
        "id": object,
        "version": seen.version,
        "record": seen.record,
        "request": seen.request,
    });
    format!("{json:#}\n")
}

fn decode(text: &str) -> Result<Found, FormatError> {
    let shape = |error: serde_json::Error| FormatError::Shape(error.to_string());
    let mut json: Value = serde_json::from_str(text).map_err(shape)?;
    match json["v"].as_u64() {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(later) => return Err(FormatError::Later(later as u32)),
        None => return Err(FormatError::Shape("`v` is missing".to_owned())),
    }
    let version = serde_json::from_value(json["version"].take()).map_err(shape)?;
    let record = GroupRecord::from_json(&json["record"].to_string())?;
    let request = GroupRequest::from_json(&json["request"].to_string())?;
    let object = json["id"].as_str().ok_or_else(|| FormatError::Shape("`id` is missing".to_owned()))?;
    Ok(Found { object: object.to_owned(), seen: Seen { version, record, request } })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// A name that no other file had: the standard library seeds its hashers from the system's randomness.
fn drawn() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
