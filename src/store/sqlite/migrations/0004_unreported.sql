-- The exit codes of watches that ended under `--until-idle`, until a run has exited with one of them.

CREATE TABLE unreported (
    code INTEGER PRIMARY KEY
) STRICT, WITHOUT ROWID;
