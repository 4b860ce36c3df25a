-- What people want of their network, as it is and as it ever was. Times are milliseconds since
-- 1970-01-01 UTC.

CREATE TABLE generation (
    number BIGINT PRIMARY KEY,
    committed_at BIGINT NOT NULL,
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    -- The generation whose objects this one has again, if it is a rollback.
    reverts_to BIGINT,
    -- Until when it must be confirmed, if it must be.
    confirm_by BIGINT,
    confirmed_at BIGINT
);

-- An object is there in the generations from `since` on, up to but without `until`.
CREATE TABLE object (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    since BIGINT NOT NULL REFERENCES generation (number),
    until BIGINT REFERENCES generation (number),
    text TEXT NOT NULL,
    PRIMARY KEY (kind, name, since)
);

CREATE INDEX object_until ON object (until);

-- What somebody has changed and not committed.
CREATE TABLE candidate_edit (
    candidate TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The `since` of the object that was changed; none where there was none.
    base BIGINT,
    -- None where it is removed.
    text TEXT,
    edited_at BIGINT NOT NULL,
    PRIMARY KEY (candidate, kind, name)
);

-- Numbers that were given, for ever: a holder keeps its number while it is not in the intent.
CREATE TABLE allocation (
    pool TEXT NOT NULL,
    holder TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (pool, holder),
    UNIQUE (pool, number)
);

-- What routers have said of their uplinks.
CREATE TABLE uplink_fact (
    site TEXT NOT NULL,
    uplink TEXT NOT NULL,
    public_key TEXT NOT NULL,
    address TEXT,
    told_at BIGINT NOT NULL,
    PRIMARY KEY (site, uplink)
);
