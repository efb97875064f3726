-- Accounts of which endpoints were notified that their credential is refused. They are notified when it works again.

CREATE TABLE refused_accounts (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
