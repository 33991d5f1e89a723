//! Objects in a folder, a file each.
//!
//! A file is written under a name of its own (`.NAME.PROCESS.NUMBER.part`), synced, and then linked to the object's name,
//! which fails where that is taken; then the folder is synced. A crash leaves at most a part, which the next process to
//! open the folder takes away: a part that is being written is locked, and the lock goes with its process.
//!
//! The folder is one machine's: its file system must know hard links and locks, as all local ones do.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::keys::{is_name, no_name};
use super::objects::{OBJECTS_MAX, ObjectInfo, ObjectReader, Objects, PIECE_BYTES_MAX, Pieces};
use super::streams::{AppendError, ReadError};

/// What the name of a part ends with.
const PART: &str = ".part";

/// Objects in a folder. Clones share it.
#[derive(Clone, Debug)]
pub struct FolderObjects {
    folder: Arc<Path>,
}

impl FolderObjects {
    /// Opens a folder, which is made where it does not exist, and takes away what a crash has left in it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_part = name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(PART));
            if is_part && entry.file_type()?.is_file() && is_abandoned(&entry.path()) {
                // Another process may have been first.
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self { folder: folder.into() })
    }
}

/// Whether nobody holds a part's lock.
fn is_abandoned(part: &Path) -> bool {
    File::open(part).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// A file that is not yet an object. It goes when this is dropped.
struct Part {
    path: PathBuf,
    file: Arc<File>,
}

impl Part {
    fn create(folder: &Path, name: &str) -> std::io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".{name}.{}.{number}{PART}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let part = Self { path, file: Arc::new(file) };
        flock(&part.file, FlockOperation::LockExclusive)?;
        Ok(part)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // What cannot be removed is removed when the folder is opened again.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Runs what waits for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn not_written(error: std::io::Error) -> AppendError {
    match error.kind() {
        ErrorKind::AlreadyExists => AppendError::Conflict,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => AppendError::Full,
        ErrorKind::FileTooLarge => AppendError::TooLarge,
        _ => AppendError::Unavailable(error.to_string()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn not_read(error: std::io::Error) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

impl Objects for FolderObjects {
    type Reader = FolderReader;

    async fn write(&self, name: &str, chunks: mpsc::Receiver<Bytes>) -> Result<u64, AppendError> {
        if !is_name(name) {
            return Err(no_name(name));
        }
        let folder = self.folder.clone();
        let path = folder.join(name);
        let create = {
            let (folder, path, name) = (folder.clone(), path.clone(), name.to_owned());
            move || {
                if path.exists() {
                    Err(ErrorKind::AlreadyExists.into())
                } else {
                    Part::create(&folder, &name)
                }
            }
        };
        let part = blocking(create).await.map_err(not_written)?;
        let (mut pieces, mut bytes) = (Pieces::new(chunks), 0);
        while let Some(piece) = pieces.next().await {
            bytes += piece.len() as u64;
            let file = part.file.clone();
            blocking(move || (&*file).write_all(&piece)).await.map_err(not_written)?;
        }
        let commit = move || {
            part.file.sync_all().map_err(not_written)?;
            std::fs::hard_link(&part.path, &path).map_err(not_written)?;
            // From here on it can be seen. Whether it would outlast a power failure is not known where this fails.
            File::open(&folder).and_then(|folder| folder.sync_all()).map_err(|_| AppendError::TimedOut)
        };
        blocking(commit).await?;
        Ok(bytes)
    }

    async fn read(&self, name: &str) -> Result<Option<FolderReader>, ReadError> {
        if !is_name(name) {
            return Ok(None);
        }
        let path = self.folder.join(name);
        match blocking(move || File::open(path)).await {
            Ok(file) => Ok(Some(FolderReader { file: Arc::new(file) })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(not_read(error)),
        }
    }

    async fn list(&self) -> Result<Vec<ObjectInfo>, ReadError> {
        let folder = self.folder.clone();
        let list = move || {
            let mut objects = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let Some(name) = entry.file_name().to_str().filter(|name| is_name(name)).map(str::to_owned)
                else {
                    continue;
                };
                match entry.metadata() {
                    Ok(metadata) if metadata.is_file() => {
                        objects.push(ObjectInfo { name, bytes: metadata.len() });
                    }
                    Ok(_) => {}
                    // Removed meanwhile.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            objects.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(objects)
        };
        let objects = blocking(list).await.map_err(not_read)?;
        if objects.len() > OBJECTS_MAX {
            return Err(ReadError::Unreadable(format!("more than {OBJECTS_MAX} objects")));
        }
        Ok(objects)
    }

    async fn remove(&self, name: &str) -> Result<(), AppendError> {
        if !is_name(name) {
            return Ok(());
        }
        let path = self.folder.join(name);
        match blocking(move || std::fs::remove_file(path)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(not_written(error)),
            _ => Ok(()),
        }
    }
}

/// Reads a file. It goes on to its end though the object is removed meanwhile.
#[derive(Debug)]
pub struct FolderReader {
    file: Arc<File>,
}

impl ObjectReader for FolderReader {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let file = self.file.clone();
        let read = move || {
            let mut piece = Vec::with_capacity(PIECE_BYTES_MAX);
            (&*file).take(PIECE_BYTES_MAX as u64).read_to_end(&mut piece).map(|_| piece)
        };
        let piece = blocking(read).await.map_err(not_read)?;
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}
