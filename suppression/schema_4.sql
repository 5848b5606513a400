-- What was taken out of events: retention is over, or a person was forgotten.

-- Texts that may have lost their last event; looked for in the background and then deleted.
CREATE TABLE unused_text (id INTEGER PRIMARY KEY);

-- That it was done, when, and how many events it concerned: never whose.
CREATE TABLE erasure (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,         -- purge, forget
    at INTEGER NOT NULL,        -- microseconds UTC
    events INTEGER NOT NULL
);
