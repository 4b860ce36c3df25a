-- Who is the router of a site. Times are milliseconds since 1970-01-01 UTC; ids, keys and hashes are
-- hexadecimal.

CREATE TABLE enrolment_token (
    id TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    -- Of the secret, which is not kept.
    hash TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- Whether a person has to approve the router, 1 or 0.
    approval BIGINT NOT NULL,
    -- The key of the router that was enrolled with it.
    redeemed_by TEXT,
    redeemed_at BIGINT,
    withdrawn_at BIGINT
);

CREATE INDEX enrolment_token_site ON enrolment_token (site);

-- Routers of sites, counted from 1 for each.
CREATE TABLE enrolment (
    site TEXT NOT NULL,
    number BIGINT NOT NULL,
    key TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE REFERENCES enrolment_token (id),
    address TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    approved_at BIGINT,
    -- Since when it counts no more: revoked, replaced by a later one, or never approved.
    ended_at BIGINT,
    PRIMARY KEY (site, number)
);

-- What routers were given.
CREATE TABLE certificate (
    serial TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    enrolment BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    FOREIGN KEY (site, enrolment) REFERENCES enrolment (site, number)
);

-- Generations of a later epoch are later than all of an earlier one: a controller that was restored
-- from an old copy begins one when it is told to go on.
CREATE TABLE epoch (
    number BIGINT PRIMARY KEY
);
