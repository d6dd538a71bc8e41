-- What goes to somebody outside the yard, at least once, each time with the same id.

CREATE TABLE delivery (
    id UUID PRIMARY KEY,
    -- The notice, or for operators the event.
    about UUID NOT NULL,
    -- Absent for the operators' own channel.
    user_id UUID,
    channel TEXT NOT NULL CHECK (channel IN ('email', 'slack', 'operators')),
    kind TEXT NOT NULL,
    -- As in the notice, so that it can be sent when that is deleted.
    named TEXT NOT NULL,
    -- `failed` is tried again when it is due, `dead` only when an admin says so.
    state TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'failed', 'suppressed', 'dead')),
    -- Why it was not sent.
    reason TEXT,
    tries INT NOT NULL,
    -- When it is tried next; moved on by who takes it, so that it is taken again should he not come back.
    due_ms INT NOT NULL,
    created_ms INT NOT NULL,
    changed_ms INT NOT NULL,
    UNIQUE (about, channel)
) STRICT;
CREATE INDEX delivery_due ON delivery (channel, due_ms, id) WHERE state IN ('queued', 'failed');
CREATE INDEX delivery_person ON delivery (user_id, channel, due_ms, id) WHERE state IN ('queued', 'failed');
CREATE INDEX delivery_newest ON delivery (state, id);
CREATE INDEX delivery_created ON delivery (created_ms);

-- Where somebody is reached besides what identity knows.
CREATE TABLE address (
    user_id UUID PRIMARY KEY,
    slack_user_id TEXT
) STRICT;
