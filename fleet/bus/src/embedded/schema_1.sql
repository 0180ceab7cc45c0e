-- Times are store time in milliseconds (clock.rs). Sums are over the row (checksum.rs).

CREATE TABLE store (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    id         TEXT NOT NULL,     -- of this store; the marker beside the file has it too
    store_ms   INTEGER NOT NULL,  -- store time at the last commit, and the clocks then
    boot_ms    INTEGER NOT NULL,
    wall_ms    INTEGER NOT NULL,
    boot_id    TEXT NOT NULL
) STRICT;

CREATE TABLE bucket (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    ttl_ms     INTEGER,           -- as the program last said
    revision   INTEGER NOT NULL,  -- the last given out; never goes back
    entries    INTEGER NOT NULL,  -- how many rows of `entry`, and how long their values are
    bytes      INTEGER NOT NULL
) STRICT;

CREATE TABLE entry (
    id         INTEGER PRIMARY KEY,
    bucket     INTEGER NOT NULL REFERENCES bucket (id),
    key        TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    written_ms INTEGER NOT NULL,
    sum        INTEGER NOT NULL,
    value      BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX entry_by_key ON entry (bucket, key);
-- The order of revisions is the order of writing, so this finds what expires first, too.
CREATE UNIQUE INDEX entry_by_revision ON entry (bucket, revision);

CREATE TABLE log (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    age_ms_max  INTEGER NOT NULL, -- as the program last said
    sequence    INTEGER NOT NULL, -- the last given out; never goes back
    entries     INTEGER NOT NULL, -- how many rows of `log_entry`, and how long their values are
    bytes       INTEGER NOT NULL
) STRICT;

-- The entries of a log have consecutive sequences: only the oldest are ever deleted.
CREATE TABLE log_entry (
    log        INTEGER NOT NULL REFERENCES log (id),
    sequence   INTEGER NOT NULL,
    id         BLOB NOT NULL,
    written_ms INTEGER NOT NULL,
    sum        INTEGER NOT NULL,
    value      BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX log_entry_by_sequence ON log_entry (log, sequence);
CREATE INDEX log_entry_by_id ON log_entry (log, id, sequence);
