-- The ledger. Append-only: no statement of the engine changes or deletes an event.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Names as the submits carry them; the number stands in the events.
CREATE TABLE sender (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- Sources and evidence: a form shown to a million people is kept once.
CREATE TABLE text (id INTEGER PRIMARY KEY, content TEXT NOT NULL);

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,      -- suppression.standing.Kind
    wide INTEGER NOT NULL,      -- keyed hash of the wide form, as a signed number
    exact INTEGER NOT NULL,     -- keyed hash of the exact form
    sender INTEGER NOT NULL,    -- 0: all senders
    topic INTEGER NOT NULL,     -- 0: all topics
    at INTEGER NOT NULL,        -- microseconds UTC since 1970, what the decision compares
    detail INTEGER NOT NULL,    -- kind CONSENT: basis + 256 * covers; kind ADDRESS: state
    recorded INTEGER NOT NULL,  -- microseconds UTC, when this row was written
    source INTEGER NOT NULL REFERENCES text,
    evidence INTEGER NOT NULL REFERENCES text,
    address TEXT                -- as it was told; NULL once the person is forgotten, the keys stay
);
CREATE INDEX event_wide ON event (wide);
