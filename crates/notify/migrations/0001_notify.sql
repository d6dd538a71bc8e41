-- What people are told, and what is needed to tell it.

CREATE TABLE notice (
    -- Rises with each commit: what a stream resumes after.
    no AUTO_ID,
    id UUID NOT NULL UNIQUE,
    user_id UUID NOT NULL,
    kind TEXT NOT NULL,
    -- What it tells of: an event, or a thing that is told of once.
    source UUID NOT NULL,
    -- JSON {name: text or number}; texts are made of them when they are read.
    named TEXT NOT NULL,
    created_ms INT NOT NULL,
    read_ms INT,
    -- Out of every list, also from the start where its owner wants none of this kind in the inbox.
    deleted_ms INT,
    UNIQUE (source, user_id, kind)
) STRICT;
CREATE INDEX notice_mine ON notice (user_id, no) WHERE deleted_ms IS NULL;
CREATE INDEX notice_unread ON notice (user_id, no) WHERE deleted_ms IS NULL AND read_ms IS NULL;
CREATE INDEX notice_read ON notice (user_id, no) WHERE deleted_ms IS NULL AND read_ms IS NOT NULL;
CREATE INDEX notice_kind ON notice (user_id, kind, no) WHERE deleted_ms IS NULL;
CREATE INDEX notice_created ON notice (created_ms);

-- Whose inbox changed otherwise than by a new notice, for the streams of all processes.
CREATE TABLE inbox_change (
    no AUTO_ID,
    user_id UUID NOT NULL,
    at_ms INT NOT NULL
) STRICT;
CREATE INDEX inbox_change_at ON inbox_change (at_ms);

-- An admin's text in place of the built-in one.
CREATE TABLE kind_text (
    kind TEXT NOT NULL,
    language TEXT NOT NULL CHECK (language IN ('ko', 'en')),
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    changed_ms INT NOT NULL,
    changed_by UUID NOT NULL,
    PRIMARY KEY (kind, language)
) STRICT;

-- What somebody chose otherwise than the default.
CREATE TABLE preference (
    user_id UUID NOT NULL,
    kind TEXT NOT NULL,
    channel TEXT NOT NULL CHECK (channel IN ('inbox', 'email', 'slack')),
    wanted INT NOT NULL CHECK (wanted IN (0, 1)),
    PRIMARY KEY (user_id, kind, channel)
) KEYED;

-- Identity's people; a copy that follows its events. A rehearsal's people are not among them.
CREATE TABLE person (
    user_id UUID PRIMARY KEY,
    version INT NOT NULL,
    language TEXT,
    email TEXT,
    role TEXT
) STRICT;
CREATE INDEX person_role ON person (role) WHERE role = 'admin';

-- Public races; a copy that follows their events. A rehearsal's race is not among them.
CREATE TABLE race (
    race_id UUID PRIMARY KEY,
    offer_id UUID NOT NULL UNIQUE,
    title TEXT NOT NULL,
    cancelled INT NOT NULL
) STRICT;

-- Places that are held, until somebody was told that the hold ends soon.
CREATE TABLE hold (
    registration_id UUID PRIMARY KEY,
    user_id UUID NOT NULL,
    race_id UUID NOT NULL,
    until_ms INT NOT NULL,
    remind_ms INT NOT NULL
) KEYED;
CREATE INDEX hold_remind ON hold (remind_ms);
