-- On the way from a place to a bib.

-- Why it ended (`expired`, `released`, `cancelled`, `failed`), and when it was confirmed, ended or not.
ALTER TABLE registration ADD COLUMN ended_by TEXT;
ALTER TABLE registration ADD COLUMN confirmed_ms INT;

-- How far a registration came, from its first step on. Place, course and souvenir are the claim's.
CREATE TABLE registration_progress (
    registration_id UUID PRIMARY KEY,
    -- The version of the race's terms that was agreed to.
    terms_version INT,
    terms_ms INT,
    -- When a souvenir, or none, was chosen in its step.
    souvenir_ms INT,
    -- JSON {recipient, phone, postcode, line1, line2}.
    address TEXT,
    address_ms INT,
    -- The newest payment, as payments told of it last.
    payment_id UUID,
    payment_state TEXT,
    amount_won INT,
    refunded_won INT NOT NULL DEFAULT 0,
    provider TEXT,
    checkout_url TEXT,
    payment_expires_ms INT,
    payment_ms INT,
    paid_ms INT
) KEYED;
CREATE INDEX registration_progress_payment ON registration_progress (payment_id) WHERE payment_id IS NOT NULL;

-- Whom the organiser placed by hand: the rules of eligibility are not asked of them.
CREATE TABLE race_guest (
    race_id UUID NOT NULL,
    user_id UUID NOT NULL,
    PRIMARY KEY (race_id, user_id)
) KEYED;
