-- Times are milliseconds since the Unix epoch, ids the 16 bytes of a UUID, paces nanoseconds.
-- Which rows are claimed is nowhere here: there is one daemon, and it keeps that in memory.

CREATE TABLE watches (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which watches were taken on; never used again
    id            BLOB    NOT NULL UNIQUE,
    account       TEXT    NOT NULL,
    scope         TEXT    NOT NULL,                  -- group, org
    scope_id      BLOB    NOT NULL,
    export_id     BLOB    NOT NULL,
    labels        TEXT    NOT NULL,                  -- JSON
    origin        TEXT    NOT NULL CHECK (origin IN ('api', 'settings')),
    started_at_ms INTEGER NOT NULL,
    due_at_ms     INTEGER NOT NULL,                  -- once it has ended: when it was due last
    progress      TEXT    NOT NULL,                  -- JSON (src/watch/kept.rs)
    ended_at_ms   INTEGER,                           -- this and what follows: only once it has ended
    outcome       TEXT,
    document      TEXT,                              -- JSON
    CHECK ((ended_at_ms IS NULL) = (outcome IS NULL) AND (ended_at_ms IS NULL) = (document IS NULL))
) STRICT;

CREATE UNIQUE INDEX watches_export ON watches (export_id, scope_id, scope, account);
-- The queue: the one index that moves with each poll.
CREATE INDEX watches_due ON watches (account, due_at_ms) WHERE ended_at_ms IS NULL;
CREATE INDEX watches_started ON watches (account, started_at_ms) WHERE ended_at_ms IS NULL;
-- Pages of one kind, and counts without reading rows.
CREATE INDEX watches_active ON watches (seq) WHERE ended_at_ms IS NULL;
CREATE INDEX watches_ended ON watches (seq) WHERE ended_at_ms IS NOT NULL;
CREATE INDEX watches_prunable ON watches (ended_at_ms) WHERE ended_at_ms IS NOT NULL AND origin = 'api';
CREATE INDEX watches_settings ON watches (seq) WHERE origin = 'settings';

CREATE TABLE deliveries (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT    NOT NULL UNIQUE,
    watch_seq     INTEGER REFERENCES watches (seq) ON DELETE SET NULL,
    watch_id      BLOB,                              -- of a watch that may be gone; none where it tells of an account
    endpoint      TEXT    NOT NULL,
    event         TEXT    NOT NULL,                  -- JSON
    created_at_ms INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('pending', 'sent', 'undeliverable')),
    attempts      INTEGER NOT NULL DEFAULT 0,
    due_at_ms     INTEGER NOT NULL,                  -- once it is settled: when it was due last
    pace_ns       INTEGER,
    problem       TEXT,
    settled_at_ms INTEGER,
    CHECK ((state = 'pending') = (settled_at_ms IS NULL))
) STRICT;

CREATE INDEX deliveries_watch ON deliveries (watch_seq) WHERE watch_seq IS NOT NULL;
CREATE INDEX deliveries_due ON deliveries (endpoint, due_at_ms) WHERE state = 'pending';
CREATE INDEX deliveries_undeliverable ON deliveries (seq) WHERE state = 'undeliverable';
CREATE INDEX deliveries_prunable ON deliveries (settled_at_ms) WHERE watch_seq IS NULL AND settled_at_ms IS NOT NULL;

CREATE TABLE accounts (
    name        TEXT    PRIMARY KEY,
    downtime_ms INTEGER NOT NULL                     -- for how long it could not ask, all in all
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key   TEXT    PRIMARY KEY,                       -- last_ms: the latest moment that is written here
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
