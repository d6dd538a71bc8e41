-- An offer's whole state: any process decides the next batch from these rows.

CREATE TABLE offer (
    id UUID PRIMARY KEY,
    base TEXT NOT NULL,
    log_no INT NOT NULL,
    rules_sha BYTES NOT NULL,
    paused INT NOT NULL,
    closed INT NOT NULL,
    opens_ms INT NOT NULL,
    closes_ms INT NOT NULL,
    line_after_close INT NOT NULL,
    next_seq INT NOT NULL,
    size INT NOT NULL,
    frontier BYTES NOT NULL,
    decided_ms INT NOT NULL,
    free_epoch INT NOT NULL,
    waiting INT NOT NULL CHECK (waiting >= 0),
    refusals INT NOT NULL,
    version INT NOT NULL
) KEYED;
-- Offers a job still has to close, or whose line it has to empty.
CREATE INDEX offer_due ON offer (closes_ms) WHERE closed = 0;
CREATE INDEX offer_line ON offer (id) WHERE closed = 1 AND line_after_close = 0 AND waiting > 0;

CREATE TABLE offer_pool (
    offer_id UUID NOT NULL,
    code TEXT NOT NULL,
    capacity INT NOT NULL,
    held_back INT NOT NULL CHECK (held_back >= 0),
    taken INT NOT NULL CHECK (taken >= 0),
    confirm_no INT NOT NULL,
    PRIMARY KEY (offer_id, code),
    CHECK (taken + held_back <= capacity)
) KEYED;

CREATE TABLE offer_rules (
    offer_id UUID NOT NULL,
    sha BYTES NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (offer_id, sha)
) KEYED;

CREATE TABLE claim (
    id UUID PRIMARY KEY,
    offer_id UUID NOT NULL,
    seq INT NOT NULL,
    person UUID NOT NULL,
    user_id UUID NOT NULL,
    ordinal INT NOT NULL,
    state TEXT NOT NULL,
    want TEXT NOT NULL,
    log_index INT NOT NULL,
    hold_until_ms INT,
    confirm_no INT,
    idem_key TEXT,
    idem_body BYTES,
    received_ms INT NOT NULL,
    decided_ms INT NOT NULL,
    ended_ms INT,
    replaces UUID
) KEYED;
CREATE UNIQUE INDEX claim_seq ON claim (offer_id, seq);
-- One open claim per person and ordinal: what the core decides, the schema enforces. A person is one offer's
-- pseudonym, so that the offer need not stand before it.
CREATE UNIQUE INDEX claim_open ON claim (person, ordinal) WHERE ended_ms IS NULL;
CREATE INDEX claim_ended ON claim (person, seq) WHERE ended_ms IS NOT NULL;
CREATE UNIQUE INDEX claim_key ON claim (offer_id, user_id, idem_key) WHERE idem_key IS NOT NULL;
CREATE INDEX claim_line ON claim (offer_id, seq) WHERE state = 'waitlisted';
CREATE INDEX claim_hold ON claim (hold_until_ms) WHERE state = 'held';
CREATE INDEX claim_replaces ON claim (replaces) WHERE replaces IS NOT NULL;

CREATE TABLE log_batch (
    offer_id UUID NOT NULL,
    log_no INT NOT NULL,
    first_index INT NOT NULL,
    count INT NOT NULL,
    leaves BYTES NOT NULL,
    PRIMARY KEY (offer_id, log_no, first_index)
) STRICT;

CREATE TABLE log_node (
    offer_id UUID NOT NULL,
    log_no INT NOT NULL,
    level INT NOT NULL,
    n INT NOT NULL,
    hash BYTES NOT NULL,
    PRIMARY KEY (offer_id, log_no, level, n)
) KEYED;

-- An offer's later logs: claims numbered from `first_seq` on have their leaf in this log or one after it.
CREATE TABLE offer_log (
    offer_id UUID NOT NULL,
    log_no INT NOT NULL,
    first_seq INT NOT NULL,
    begun_ms INT NOT NULL,
    PRIMARY KEY (offer_id, log_no)
) KEYED;

-- Offers of a restored store whose log is still to begin anew.
CREATE TABLE offer_restored (
    offer_id UUID PRIMARY KEY
) KEYED;
