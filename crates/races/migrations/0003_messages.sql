-- What an organiser wrote to those who registered.
CREATE TABLE race_message (
    id UUID PRIMARY KEY,
    race_id UUID NOT NULL REFERENCES race (id),
    sent_by UUID NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    -- The states it was for, with commas between them.
    states TEXT NOT NULL,
    recipients INT NOT NULL,
    created_ms INT NOT NULL
) STRICT;
CREATE INDEX race_message_newest ON race_message (race_id, created_ms, id);
