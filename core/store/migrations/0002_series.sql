-- What was measured of paths. Times are milliseconds since 1970-01-01 UTC.

-- Each direction of a path has a series.
CREATE TABLE series (
    id BIGINT PRIMARY KEY,
    from_site TEXT NOT NULL,
    from_uplink TEXT NOT NULL,
    to_site TEXT NOT NULL,
    to_uplink TEXT NOT NULL,
    -- It had points at this time, and maybe later.
    seen_at BIGINT NOT NULL,
    UNIQUE (from_site, from_uplink, to_site, to_uplink)
);

-- Points of one step, in pieces of one span each.
CREATE TABLE series_tier (
    id BIGINT PRIMARY KEY,
    step BIGINT NOT NULL,
    span BIGINT NOT NULL,
    -- Before this no more points come.
    closed_to BIGINT NOT NULL,
    -- Before this all points are in `series_piece`, and in the tier that follows.
    rolled_to BIGINT NOT NULL,
    UNIQUE (step, span)
);

-- Points as they came: those of all series together.
CREATE TABLE series_recent (
    tier BIGINT NOT NULL,
    -- When the piece begins in which they lie.
    piece BIGINT NOT NULL,
    part BIGINT NOT NULL,
    points BYTEA NOT NULL,
    PRIMARY KEY (tier, piece, part)
);

-- Points as they are kept: those of one series and piece together.
CREATE TABLE series_piece (
    tier BIGINT NOT NULL,
    piece BIGINT NOT NULL,
    series BIGINT NOT NULL,
    points BYTEA NOT NULL,
    PRIMARY KEY (tier, piece, series)
);
