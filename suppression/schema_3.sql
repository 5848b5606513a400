-- Consent forms, sign-ups that wait for their confirmation, opt-outs known by a hash alone.

-- What was shown to people who consented (施行規則4条1項2号: paper, mail, web page), stored once, immutable.
CREATE TABLE form (
    id INTEGER PRIMARY KEY,
    sender TEXT NOT NULL,
    sha256 BLOB NOT NULL,                -- of content
    kind TEXT NOT NULL,                  -- suppression.forms.Kind
    language TEXT NOT NULL,
    displayed_sender TEXT NOT NULL,      -- the name that the form shows
    privacy_policy_url TEXT NOT NULL,
    acquired_url TEXT NOT NULL,          -- where the form stood
    covers INTEGER NOT NULL,             -- suppression.events.Covers, what the form says will be mailed
    statement TEXT NOT NULL,             -- the words of the form that say so
    auto_compiled INTEGER NOT NULL,      -- 1: answers go into a list by themselves (特定商取引法施行規則)
    content BLOB NOT NULL,
    shown_from INTEGER NOT NULL,         -- Unix seconds
    shown_to INTEGER,                    -- set once; NULL: still shown
    recorded INTEGER NOT NULL,           -- microseconds, as everywhere
    UNIQUE (sender, sha256)
);
CREATE TRIGGER form_immutable BEFORE UPDATE OF id, sender, sha256, kind, language, displayed_sender,
    privacy_policy_url, acquired_url, covers, statement, auto_compiled, content, shown_from, recorded ON form
BEGIN SELECT raise(ABORT, 'a form is immutable'); END;
CREATE TRIGGER form_retired_once BEFORE UPDATE OF shown_to ON form WHEN OLD.shown_to IS NOT NULL
BEGIN SELECT raise(ABORT, 'a form is retired once'); END;
CREATE TRIGGER form_kept BEFORE DELETE ON form
BEGIN SELECT raise(ABORT, 'a form is evidence'); END;

-- Double opt-in: somebody asked to be mailed; one CONFIRM may go, and only its link makes a consent of it.
CREATE TABLE signup (
    id INTEGER PRIMARY KEY,
    request BLOB NOT NULL UNIQUE,        -- SHA-256 of what was asked: a repeat is the same sign-up
    wide INTEGER NOT NULL,
    exact INTEGER NOT NULL,
    sender INTEGER NOT NULL,
    at INTEGER NOT NULL,                 -- when the person asked
    recorded INTEGER NOT NULL,
    topics TEXT NOT NULL,                -- JSON
    covers INTEGER NOT NULL,
    record TEXT NOT NULL,                -- suppression.consents, the record as far as it is known
    address TEXT,                        -- NULL once the person is forgotten
    carrier BLOB,                        -- key of the submit that may carry the CONFIRM, set once
    sent INTEGER,                        -- when that was accepted
    confirmed INTEGER                    -- when the link was used, set once
);
CREATE INDEX signup_person ON signup (sender, wide);
CREATE TRIGGER signup_carried_once BEFORE UPDATE OF carrier, sent ON signup WHEN OLD.carrier IS NOT NULL
BEGIN SELECT raise(ABORT, 'one CONFIRM for each sign-up'); END;
CREATE TRIGGER signup_confirmed_once BEFORE UPDATE OF confirmed ON signup WHEN OLD.confirmed IS NOT NULL
BEGIN SELECT raise(ABORT, 'a sign-up is confirmed once'); END;

-- Refusals that were handed over as hashes: looked for whenever a consent is recorded, since nobody else is advertised to.
CREATE TABLE hashed_optout (
    digest BLOB NOT NULL,                -- SHA-256 of an address in lower case
    sender INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    at INTEGER NOT NULL,
    recorded INTEGER NOT NULL,
    source INTEGER NOT NULL REFERENCES text,
    evidence INTEGER NOT NULL REFERENCES text,
    PRIMARY KEY (digest, sender, topic)
) WITHOUT ROWID;
