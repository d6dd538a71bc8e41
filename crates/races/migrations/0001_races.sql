-- What is sold, who holds it is in `claim`: the admission store's tables stand in the same database.

CREATE TABLE race (
    id UUID PRIMARY KEY,
    owner_id UUID NOT NULL,
    offer_id UUID NOT NULL UNIQUE,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    place TEXT NOT NULL,
    race_at_ms INT NOT NULL,
    terms TEXT NOT NULL,
    terms_version INT NOT NULL,
    souvenir_rule TEXT NOT NULL CHECK (souvenir_rule IN ('optional', 'required')),
    -- JSON [{id, name, sizes}]; the j-th size of the i-th is sold as the pool s<i>-<j>.
    souvenirs TEXT NOT NULL,
    -- JSON [{until_ms, percent}], earliest first.
    refund_rules TEXT NOT NULL,
    -- JSON of an accepted edit that the offer has not taken over yet.
    rules_edit TEXT,
    -- A rehearsal's race: in no list, and only its own people claim in it.
    hidden INT NOT NULL,
    version INT NOT NULL,
    created_ms INT NOT NULL,
    created_by UUID NOT NULL,
    changed_ms INT NOT NULL,
    changed_by UUID NOT NULL,
    cancelled_ms INT,
    deleted_ms INT
) STRICT;
CREATE INDEX race_newest ON race (id) WHERE hidden = 0 AND deleted_ms IS NULL;
CREATE INDEX race_day ON race (race_at_ms, id) WHERE hidden = 0 AND deleted_ms IS NULL;
CREATE INDEX race_owner ON race (owner_id, id) WHERE hidden = 0 AND deleted_ms IS NULL;
CREATE INDEX race_rules_edit ON race (id) WHERE rules_edit IS NOT NULL;
CREATE INDEX race_cancelled ON race (id) WHERE cancelled_ms IS NOT NULL;

CREATE TABLE race_course (
    race_id UUID NOT NULL REFERENCES race (id),
    -- From 1, in the organiser's order.
    no INT NOT NULL,
    -- Also the code of its pool.
    code TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('km5', 'km10', 'half', 'full', 'free')),
    distance_m INT NOT NULL CHECK (distance_m > 0),
    fee_won INT NOT NULL CHECK (fee_won >= 0),
    PRIMARY KEY (race_id, code)
) STRICT;
CREATE INDEX race_course_kind ON race_course (kind, race_id);

-- One per claim, with its id; its state, course and souvenir are the claim's. No foreign key: each grant would pay
-- for looking up and, on PostgreSQL, locking the one race that everybody wants.
CREATE TABLE registration (
    id UUID PRIMARY KEY,
    race_id UUID NOT NULL,
    user_id UUID NOT NULL,
    created_ms INT NOT NULL
) KEYED;
CREATE INDEX registration_mine ON registration (user_id, id);

-- Identity's people as the organisers' lists show them; a copy that follows `user.saved`.
CREATE TABLE person (
    user_id UUID PRIMARY KEY,
    username TEXT NOT NULL,
    name TEXT NOT NULL,
    nickname TEXT NOT NULL,
    version INT NOT NULL
) STRICT;

CREATE TABLE rehearsal (
    id UUID PRIMARY KEY,
    race_id UUID NOT NULL REFERENCES race (id),
    owner_id UUID NOT NULL,
    people INT NOT NULL,
    created_ms INT NOT NULL,
    expires_ms INT NOT NULL
) STRICT;
CREATE INDEX rehearsal_expires ON rehearsal (expires_ms);
