-- An outage no longer counts the time in which nobody could ask, so that nobody has to keep a record of it.

DROP TABLE accounts;
