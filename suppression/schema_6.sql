-- Keys of lists of refusals that came as HMAC-SHA256: needed whenever a consent is recorded, to see whom the list means.
CREATE TABLE hash_key (
    fingerprint TEXT PRIMARY KEY,   -- of the key, to tell one from another without giving it away
    secret BLOB NOT NULL,           -- shared with whoever made the list; not the ledger's own secret
    recorded INTEGER NOT NULL       -- microseconds UTC
) WITHOUT ROWID;
