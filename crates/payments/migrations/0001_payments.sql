-- Who pays what for which thing, what the providers said, and where the money is.

CREATE TABLE payment (
    id UUID PRIMARY KEY,
    subject_kind TEXT NOT NULL,
    subject_id UUID NOT NULL,
    payer_id UUID NOT NULL,
    payee_id UUID NOT NULL,
    title TEXT NOT NULL,
    amount_won INT NOT NULL CHECK (amount_won > 0),
    refunded_won INT NOT NULL CHECK (refunded_won >= 0),
    -- Kept for refunds that are under way.
    refunding_won INT NOT NULL CHECK (refunding_won >= 0),
    provider TEXT NOT NULL,
    -- What the provider calls it.
    provider_key TEXT NOT NULL,
    checkout_url TEXT NOT NULL,
    -- What the payer brought back from the provider's page.
    payer_key TEXT,
    state TEXT NOT NULL CHECK (state IN ('ready', 'confirming', 'captured', 'declined', 'voided', 'expired')),
    reason TEXT,
    expires_ms INT NOT NULL,
    -- How often the provider gave no outcome, and when it is asked next.
    looks INT NOT NULL,
    next_look_ms INT NOT NULL,
    -- 1 = it ended here without money, and the provider has yet to close it.
    void_due INT NOT NULL CHECK (void_due IN (0, 1)),
    created_ms INT NOT NULL,
    changed_ms INT NOT NULL,
    captured_ms INT,
    CHECK (refunded_won + refunding_won <= amount_won),
    CHECK (state = 'captured' OR refunded_won + refunding_won = 0),
    CHECK ((state = 'captured') = (captured_ms IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX payment_open ON payment (subject_kind, subject_id) WHERE state IN ('ready', 'confirming');
CREATE UNIQUE INDEX payment_provider_key ON payment (provider, provider_key);
CREATE INDEX payment_subject ON payment (subject_id, id);
CREATE INDEX payment_undecided ON payment (next_look_ms) WHERE state = 'confirming';
CREATE INDEX payment_overdue ON payment (expires_ms) WHERE state = 'ready';
CREATE INDEX payment_void_due ON payment (next_look_ms) WHERE void_due = 1;
CREATE INDEX payment_captured ON payment (captured_ms) WHERE captured_ms IS NOT NULL;

-- Money given back, once per key of whoever asks.
CREATE TABLE refund (
    key UUID PRIMARY KEY,
    payment_id UUID NOT NULL REFERENCES payment (id),
    amount_won INT NOT NULL CHECK (amount_won > 0),
    reason TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'refused')),
    -- Why it was refused.
    refusal TEXT,
    looks INT NOT NULL,
    next_look_ms INT NOT NULL,
    created_ms INT NOT NULL,
    changed_ms INT NOT NULL
) STRICT;
CREATE INDEX refund_pending ON refund (next_look_ms) WHERE state = 'pending';

-- Webhooks as they came; each is applied once, by asking the provider.
CREATE TABLE webhook (
    provider TEXT NOT NULL,
    event_id TEXT NOT NULL,
    provider_key TEXT NOT NULL,
    received_ms INT NOT NULL,
    next_look_ms INT NOT NULL,
    applied_ms INT,
    PRIMARY KEY (provider, event_id)
) STRICT;
CREATE INDEX webhook_waiting ON webhook (next_look_ms) WHERE applied_ms IS NULL;
CREATE INDEX webhook_received ON webhook (received_ms);

-- A balance is credits less debits. What providers hold for us is negative, what we owe is positive; all are zero.
CREATE TABLE ledger_account (
    id UUID PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('clearing', 'funding', 'payable', 'wallet', 'escrow')),
    -- A provider's name, a user's or a purchase's id; empty for the platform.
    owner TEXT NOT NULL,
    balance INT NOT NULL,
    UNIQUE (kind, owner),
    -- Nobody's own money is ever below zero.
    CHECK (kind IN ('clearing', 'funding') OR balance >= 0)
) STRICT;

-- Append only. A reversal is a transfer of its own.
CREATE TABLE ledger_transfer (
    id UUID PRIMARY KEY,
    debit UUID NOT NULL,
    credit UUID NOT NULL,
    amount INT NOT NULL CHECK (amount > 0),
    kind TEXT NOT NULL,
    -- What it is about: a payment's id.
    reference UUID NOT NULL,
    at_ms INT NOT NULL,
    CHECK (debit <> credit)
) STRICT;
CREATE INDEX ledger_transfer_reference ON ledger_transfer (reference);
CREATE INDEX ledger_transfer_at ON ledger_transfer (at_ms);

-- One per provider and day, replaced by each further run.
CREATE TABLE reconciliation (
    id UUID PRIMARY KEY,
    provider TEXT NOT NULL,
    from_ms INT NOT NULL,
    to_ms INT NOT NULL,
    -- The provider's statement of the day: its entries and what they sum to.
    entries INT NOT NULL,
    provider_won INT NOT NULL,
    ledger_won INT NOT NULL,
    differences INT NOT NULL,
    run_ms INT NOT NULL,
    UNIQUE (provider, from_ms)
) STRICT;
CREATE INDEX reconciliation_newest ON reconciliation (from_ms, id);

CREATE TABLE difference (
    reconciliation_id UUID NOT NULL REFERENCES reconciliation (id),
    provider_key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('unknown_here', 'missing_here', 'missing_there', 'amount')),
    payment_id UUID,
    provider_won INT NOT NULL,
    ledger_won INT NOT NULL,
    intent_won INT NOT NULL,
    PRIMARY KEY (reconciliation_id, provider_key)
) STRICT;
