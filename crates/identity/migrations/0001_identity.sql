-- People, their sign-ins, and their applications to become organisers.

CREATE TABLE account (
    id UUID PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    -- Absent: this account cannot sign in (a rehearsal's people).
    password_hash TEXT,
    name TEXT NOT NULL,
    nickname TEXT NOT NULL,
    -- The nickname in lower case: two that differ in case only would be taken for one person.
    nickname_key TEXT NOT NULL UNIQUE,
    email TEXT,
    email_verified_ms INT,
    phone TEXT,
    phone_verified_ms INT,
    identity_verified_ms INT,
    birth_date TEXT,
    language TEXT NOT NULL CHECK (language IN ('ko', 'en')),
    role TEXT NOT NULL CHECK (role IN ('member', 'company', 'manager', 'admin')),
    banned_ms INT,
    ban_reason TEXT,
    -- Access tokens made up to this moment do not count any more.
    tokens_after_ms INT NOT NULL,
    rehearsal_id UUID,
    rehearsal_race_id UUID,
    rehearsal_expires_ms INT,
    version INT NOT NULL,
    created_ms INT NOT NULL,
    changed_ms INT NOT NULL,
    changed_by UUID,
    CHECK ((rehearsal_id IS NULL) = (rehearsal_race_id IS NULL)),
    CHECK ((rehearsal_id IS NULL) = (rehearsal_expires_ms IS NULL)),
    CHECK (rehearsal_id IS NULL OR password_hash IS NULL)
) STRICT;
-- Anybody may type an address; only who proved it is his owns it.
CREATE UNIQUE INDEX account_email_verified ON account (lower(email)) WHERE email_verified_ms IS NOT NULL;
CREATE INDEX account_people ON account (id) WHERE rehearsal_id IS NULL;
CREATE INDEX account_rehearsal ON account (rehearsal_id, id) WHERE rehearsal_id IS NOT NULL;
CREATE INDEX account_rehearsal_expires ON account (rehearsal_expires_ms) WHERE rehearsal_expires_ms IS NOT NULL;

-- One sign-in: a family of refresh tokens.
CREATE TABLE session (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    user_agent TEXT,
    created_ms INT NOT NULL,
    last_used_ms INT NOT NULL,
    -- When its newest refresh token runs out.
    expires_ms INT NOT NULL,
    ended_ms INT
) STRICT;
CREATE INDEX session_live ON session (user_id, id) WHERE ended_ms IS NULL;
CREATE INDEX session_expires ON session (expires_ms);

CREATE TABLE refresh_token (
    -- SHA-256 of the token; the token itself is only ever its owner's.
    hash BYTES PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    issued_ms INT NOT NULL,
    expires_ms INT NOT NULL,
    used_ms INT
) STRICT;
CREATE INDEX refresh_token_session ON refresh_token (session_id);
CREATE INDEX refresh_token_expires ON refresh_token (expires_ms);

-- What every gateway asks for once a second: a session that ended, or all of a person's tokens up to `at_ms`.
CREATE TABLE revocation (
    id AUTO_ID,
    session_id UUID,
    user_id UUID,
    at_ms INT NOT NULL,
    CHECK ((session_id IS NULL) <> (user_id IS NULL))
) STRICT;
CREATE INDEX revocation_at ON revocation (at_ms);

CREATE TABLE company_application (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected')),
    reason TEXT,
    created_ms INT NOT NULL,
    decided_ms INT,
    decided_by UUID,
    CHECK ((state = 'pending') = (decided_ms IS NULL))
) STRICT;
CREATE UNIQUE INDEX company_application_open ON company_application (user_id) WHERE state = 'pending';
CREATE INDEX company_application_state ON company_application (state, id);
CREATE INDEX company_application_user ON company_application (user_id, id);
