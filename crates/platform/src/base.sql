-- What every context's database has, whatever it is about.

CREATE TABLE outbox (
    id AUTO_ID,
    event_id UUID NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    version INT NOT NULL,
    key TEXT NOT NULL,
    actor UUID,
    payload TEXT NOT NULL,
    created_ms INT NOT NULL,
    sent_ms INT
) STRICT;
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_ms IS NULL;

-- Where a consumer stands in a source's outbox (SQLite only: there ids commit in order).
CREATE TABLE outbox_cursor (
    consumer TEXT NOT NULL,
    source TEXT NOT NULL,
    last_id INT NOT NULL,
    PRIMARY KEY (consumer, source)
) STRICT;

CREATE TABLE inbox (
    consumer TEXT NOT NULL,
    event_id UUID NOT NULL,
    received_ms INT NOT NULL,
    PRIMARY KEY (consumer, event_id)
) STRICT;
CREATE INDEX inbox_received ON inbox (received_ms);

-- Events a consumer could not take, and those that wait behind one of the same key.
CREATE TABLE parked (
    consumer TEXT NOT NULL,
    event_id UUID NOT NULL,
    key TEXT NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL,
    parked_ms INT NOT NULL,
    PRIMARY KEY (consumer, event_id)
) STRICT;
CREATE INDEX parked_key ON parked (consumer, key);

CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    owner UUID NOT NULL,
    until_ms INT NOT NULL,
    attempt INT NOT NULL
) STRICT;

CREATE TABLE job (
    name TEXT PRIMARY KEY,
    due_ms INT NOT NULL,
    last_started_ms INT,
    last_ended_ms INT,
    last_error TEXT,
    runs INT NOT NULL
) STRICT;

CREATE TABLE idempotency (
    caller UUID NOT NULL,
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    body_sha BYTES NOT NULL,
    status INT NOT NULL,
    answer TEXT NOT NULL,
    created_ms INT NOT NULL,
    PRIMARY KEY (caller, operation, key)
) STRICT;
CREATE INDEX idempotency_created ON idempotency (created_ms);

CREATE TABLE audit (
    id AUTO_ID,
    at_ms INT NOT NULL,
    actor UUID,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT,
    before TEXT,
    after TEXT
) STRICT;
CREATE INDEX audit_subject ON audit (subject, id);
