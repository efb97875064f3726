-- Times are counted on a steady time line. What the wall clock said is kept beside what is shown.

ALTER TABLE watches ADD COLUMN ended_wall_ms INTEGER; -- NULL in rows of earlier releases: as ended_at_ms
