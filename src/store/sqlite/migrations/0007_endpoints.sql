-- Backoff belongs to the endpoint. A delivery that waits for its turn is due at 0, and has a pace of its own only while
-- its receiver refuses it and nothing else.

CREATE TABLE endpoints (
    name       TEXT    PRIMARY KEY,
    pace_ns    INTEGER,                              -- of its backoff; none if the last attempt reached it
    open_at_ms INTEGER NOT NULL,                     -- nothing is sent before
    floor_ms   INTEGER NOT NULL                      -- a new delivery opens it earlier, but not before this
) STRICT, WITHOUT ROWID;

UPDATE deliveries SET due_at_ms = 0, pace_ns = NULL WHERE state = 'pending';
CREATE INDEX deliveries_queue ON deliveries (endpoint, seq, due_at_ms) WHERE state = 'pending';
CREATE INDEX deliveries_age ON deliveries (endpoint, created_at_ms) WHERE state = 'pending';
