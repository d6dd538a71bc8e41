-- Sagas and their logs. Whoever takes a saga raises its attempt; what is written with an older one is not written.

CREATE TABLE saga (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    version INT NOT NULL,
    subject TEXT NOT NULL,
    data TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'undoing', 'completed', 'compensated', 'stuck')),
    -- The step at hand.
    step TEXT NOT NULL DEFAULT '',
    -- Who works on it right now.
    owner UUID,
    attempt INT NOT NULL DEFAULT 0,
    -- When it may be taken: its next try, or, while it has an owner, the end of his lease.
    due_ms INT NOT NULL,
    -- In a row without an outcome.
    tries INT NOT NULL DEFAULT 0,
    -- Events that arrived for it; one that comes while it is at work is not lost.
    signals INT NOT NULL DEFAULT 0,
    created_ms INT NOT NULL,
    ended_ms INT,
    last_error TEXT
) STRICT;
CREATE INDEX saga_due ON saga (due_ms) WHERE state IN ('running', 'undoing');
CREATE INDEX saga_stuck ON saga (created_ms, id) WHERE state = 'stuck';
CREATE INDEX saga_subject ON saga (subject, created_ms, id);
CREATE INDEX saga_created ON saga (created_ms, id);
CREATE INDEX saga_name ON saga (name, created_ms, id);
CREATE INDEX saga_state ON saga (state, created_ms, id);

CREATE TABLE saga_log (
    saga_id UUID NOT NULL,
    seq INT NOT NULL,
    at_ms INT NOT NULL,
    attempt INT NOT NULL,
    step TEXT NOT NULL,
    event TEXT NOT NULL,
    detail TEXT NOT NULL,
    -- Of an outcome: since the step was begun.
    took_ms INT,
    PRIMARY KEY (saga_id, seq)
) STRICT;
