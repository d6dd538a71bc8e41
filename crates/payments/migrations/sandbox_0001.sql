-- The sandbox's own file: a stranger to the yard, who keeps his own books.

CREATE TABLE sandbox_payment (
    id TEXT PRIMARY KEY,
    -- The merchant's own number of it.
    order_id UUID NOT NULL UNIQUE,
    title TEXT NOT NULL,
    amount_won INT NOT NULL CHECK (amount_won > 0),
    captured_won INT NOT NULL,
    cancelled_won INT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ready', 'processing', 'captured', 'declined', 'cancelled')),
    reason TEXT,
    -- What the payer chose, and what goes wrong on the way.
    choice TEXT CHECK (choice IN ('approve', 'decline')),
    fault TEXT CHECK (fault IN ('late', 'twice', 'wrong_amount', 'unknown')),
    expires_ms INT NOT NULL,
    -- When one that is processing comes to its end.
    ripe_ms INT,
    notify_url TEXT NOT NULL,
    created_ms INT NOT NULL,
    CHECK (cancelled_won <= captured_won)
) STRICT;
CREATE INDEX sandbox_payment_ripe ON sandbox_payment (ripe_ms) WHERE ripe_ms IS NOT NULL;

-- The statement: a capture is above zero, a cancellation below.
CREATE TABLE sandbox_entry (
    id AUTO_ID,
    payment_id TEXT NOT NULL,
    order_id UUID NOT NULL,
    amount_won INT NOT NULL,
    at_ms INT NOT NULL
) STRICT;
CREATE INDEX sandbox_entry_at ON sandbox_entry (at_ms, id);

-- First answers, by operation and Idempotency-Key.
CREATE TABLE sandbox_answer (
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    asked TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (operation, key)
) STRICT;

-- Webhooks to be delivered; due_ms is null once that was done or given up.
CREATE TABLE sandbox_delivery (
    id TEXT PRIMARY KEY,
    payment_id TEXT NOT NULL,
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts INT NOT NULL,
    due_ms INT,
    delivered_ms INT
) STRICT;
CREATE INDEX sandbox_delivery_due ON sandbox_delivery (due_ms) WHERE due_ms IS NOT NULL;
