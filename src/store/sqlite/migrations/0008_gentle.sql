-- An endpoint that has asked for a pause gets one delivery after the other for a while, also after a restart.

ALTER TABLE endpoints ADD COLUMN gentle_ms INTEGER NOT NULL DEFAULT 0;
