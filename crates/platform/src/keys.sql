-- What a yard is told apart and signed by, where several processes share it.

-- `sealed`: 0 = the 32 bytes themselves, 1 = sealed with the yard's secret.
CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    value BYTES NOT NULL,
    sealed INT NOT NULL CHECK (sealed IN (0, 1))
) STRICT;

-- One row: the yard's name, which never changes.
CREATE TABLE yard (
    one INT PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL
) STRICT;
