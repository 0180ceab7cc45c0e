//! One SQLite file, one process.
