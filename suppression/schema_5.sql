-- Legal holds: what a proceeding needs is neither purged nor forgotten. Append-only, as the events.
CREATE TABLE hold_event (
    id INTEGER PRIMARY KEY,
    matter TEXT NOT NULL,     -- the proceeding, in the operator's words
    sender INTEGER NOT NULL,  -- 0: whatever the sender
    wide INTEGER NOT NULL,    -- keyed hash of the address in every spelling; 0: whatever the address
    released INTEGER NOT NULL, -- 1: this row ends the hold
    at INTEGER NOT NULL,      -- microseconds UTC since 1970
    officer TEXT NOT NULL,    -- who answers for it
    evidence TEXT NOT NULL,
    recorded INTEGER NOT NULL,
    address TEXT              -- as it was told; NULL: none, or the person is forgotten since the release
);
CREATE INDEX hold_event_wide ON hold_event (wide);
CREATE TRIGGER hold_event_immutable BEFORE UPDATE OF id, matter, sender, wide, released, at, officer, recorded ON hold_event
BEGIN SELECT raise(ABORT, 'a hold is evidence'); END;
CREATE TRIGGER hold_event_kept BEFORE DELETE ON hold_event
BEGIN SELECT raise(ABORT, 'a hold is evidence'); END;
