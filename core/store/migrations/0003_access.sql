-- Who may do what, and who did what. Times are milliseconds since 1970-01-01 UTC; digests, salts and
-- keys are hexadecimal.

-- Users; the word itself is taken in PostgreSQL.
CREATE TABLE account (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    -- An argon2id hash in PHC string format; none for who logs in elsewhere.
    password TEXT,
    -- Since when the user may not log in.
    barred_at BIGINT,
    made_at BIGINT NOT NULL
);

-- Sessions, and the hashes of their refresh tokens.
CREATE TABLE session (
    family TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL REFERENCES account (id),
    current_token TEXT NOT NULL,
    -- The token before, what made the current one of it, and when.
    replaced_token TEXT,
    replaced_salt TEXT,
    replaced_at BIGINT,
    began_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_why TEXT
);

CREATE INDEX session_account ON session (account);

CREATE TABLE api_token (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    -- Words with a space between them.
    scopes TEXT NOT NULL,
    digest TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE INDEX api_token_account ON api_token (account);

-- What access tokens are signed with.
CREATE TABLE signing_key (
    id TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    signs_from BIGINT NOT NULL
);

-- Entries are only ever added; `hash` makes them a chain (core/access/src/audit.rs).
CREATE TABLE audit (
    sequence BIGINT PRIMARY KEY,
    hash TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    -- Empty where there is none.
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL
);
