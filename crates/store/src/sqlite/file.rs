//! The directory, its lock, and how connections are set up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, ffi};

use crate::{Error, Result};

/// The format this version writes, and the newest it reads.
const FORMAT: i64 = 2;

/// `history`: one row for each write. `create_rev` is zero where the write deleted the key, and `prev_rev`
/// is the row that the write superseded, or zero.
/// `meta`: `compacted` is the oldest revision that can be read, `cleaned` how far compaction has come, and `lifted`,
/// where there is one, a revision that counts as given though nothing was written with it.
const SCHEMA: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE history (
        rev INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        value BLOB,
        create_rev INTEGER NOT NULL,
        prev_rev INTEGER NOT NULL
    );
    CREATE INDEX history_by_key ON history (key, rev, create_rev);
    INSERT INTO meta VALUES ('format', 2), ('compacted', 0), ('cleaned', 0);
";

/// Takes the directory for this process; the lock ends with the file or with the process.
pub fn lock(dir: &Path) -> Result<File> {
    std::fs::create_dir_all(dir).map_err(|error| io(dir, &error))?;
    let path = dir.join("lock");
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = options.map_err(|error| io(&path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::Locked(locked(dir, &mut file))),
        Err(TryLockError::Error(error)) => return Err(io(&path, &error)),
    }
    let note = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = note {
        tracing::warn!(%error, "the lock file does not name this process");
    }
    Ok(file)
}

fn locked(dir: &Path, file: &mut File) -> String {
    let mut holder = String::new();
    let by = match file.read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => format!("process {}", holder.trim()),
        _ => "another process".to_owned(),
    };
    format!("data directory {} is in use by {by}: stop it first, or choose another directory", dir.display())
}

fn io(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull => Error::Full(format!("{}: {error}", path.display())),
        _ => Error::Io(format!("{}: {error}", path.display())),
    }
}

/// Opens the file for writing, making it if needed, and checks its format.
pub fn open_writer(dir: &Path, path: &Path) -> Result<Connection> {
    let connection = open(path)?;
    let set_up = || {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")?;
        connection.execute_batch("PRAGMA cache_size = -4096; PRAGMA journal_size_limit = 4194304;")?;
        connection.table_exists(None, "meta")
    };
    let exists = set_up().map_err(|found| match found.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::Format(format!("{} is not a store of keelson", path.display())),
        _ => error(found),
    })?;
    if exists {
        check_format(&connection, dir)?;
    } else {
        connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;")).map_err(error)?;
    }
    Ok(connection)
}

/// Refuses what a newer version wrote.
pub fn check_format(connection: &Connection, dir: &Path) -> Result<()> {
    let format = connection.query_row("SELECT value FROM meta WHERE name = 'format'", [], |row| row.get::<_, i64>(0));
    match format.map_err(error)? {
        FORMAT => Ok(()),
        found if found < FORMAT => Err(Error::Format(format!(
            "data directory {} was written by an earlier version of keelson, which laid keys out otherwise (format \
             {found}; this version reads {FORMAT}): run that version, or start in another directory",
            dir.display()
        ))),
        found => Err(Error::Format(format!(
            "data directory {} was written by a newer version of keelson (format {found}; this version reads \
             {FORMAT}): run the newer version, or restore a backup made by this one",
            dir.display()
        ))),
    }
}

pub fn open_reader(path: &Path) -> Result<Connection> {
    let connection = open(path)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -1024; PRAGMA wal_autocheckpoint = 0;")
        .map_err(error)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(error)?;
    Ok(connection)
}

/// A connection that plans each statement once: by default some are planned again for the values they are given.
fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path).map_err(error)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(error)?;
    Ok(connection)
}

/// What a failure of SQLite means to callers.
pub fn error(found: rusqlite::Error) -> Error {
    match &found {
        rusqlite::Error::SqliteFailure(failure, _)
            if failure.code == ErrorCode::DiskFull || failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE =>
        {
            Error::Full(found.to_string())
        }
        _ => Error::Io(found.to_string()),
    }
}
