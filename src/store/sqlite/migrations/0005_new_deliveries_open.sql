-- A new delivery ends the pause of its endpoint, but not before this.

ALTER TABLE endpoints ADD COLUMN floor_ms INTEGER NOT NULL DEFAULT 0;
