-- Orders of the authorities against a sender, and their releases. Append-only, as the events.
CREATE TABLE order_event (
    id INTEGER PRIMARY KEY,
    sender INTEGER NOT NULL REFERENCES sender,
    kind INTEGER NOT NULL,   -- suppression.order.OrderKind: 1 ORDER7, 2 INSTR14, 3 SUSP15
    at INTEGER NOT NULL,     -- microseconds UTC since 1970: when it arrived, or was released
    day INTEGER NOT NULL,    -- JST calendar day of the order or the release, counted from 1970-01-01
    scope TEXT NOT NULL,     -- JSON list of topics; [] is everything of this sender
    officer TEXT NOT NULL,   -- who answers for the release; empty: this row is the order itself
    evidence TEXT NOT NULL,
    recorded INTEGER NOT NULL -- microseconds UTC, when this row was written
);
CREATE INDEX order_event_sender ON order_event (sender);
