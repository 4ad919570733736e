-- The recorder's database, version 1. Money, prices and quantities are decimals as text; `_at` columns are
-- RFC 3339 text as on the bus, `_ns` columns nanoseconds since 1970. `events` is the truth; every other table
-- follows from it, except `books`, which is a sample of the live plane.

CREATE TABLE IF NOT EXISTS events (
    stream   TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    subject  TEXT NOT NULL,
    at_ns    INTEGER NOT NULL,  -- when the stream stored it
    data     BLOB NOT NULL,     -- as published
    PRIMARY KEY (stream, seq)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS parents (
    parent_id   TEXT NOT NULL,
    symbol      TEXT NOT NULL,
    algo        TEXT,
    side        TEXT,
    qty         TEXT,
    limit_price TEXT,
    strategy    TEXT,
    account     TEXT,
    state       TEXT,           -- the last event's name; a refused request leaves it
    accepted_at TEXT,
    start_at    TEXT,
    end_at      TEXT,
    updated_at  TEXT,
    done_at     TEXT,
    arrival_px  TEXT,
    cum_qty     TEXT,
    leaves_qty  TEXT,
    avg_px      TEXT,
    notional    TEXT,
    fees        TEXT,
    reason      TEXT,
    text        TEXT,
    PRIMARY KEY (parent_id, symbol)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parents_by_update ON parents (updated_at);

CREATE TABLE IF NOT EXISTS slices (
    parent_id    TEXT NOT NULL,
    symbol       TEXT NOT NULL,
    slice_no     INTEGER NOT NULL,
    qty          TEXT,
    limit_price  TEXT,
    strategy     TEXT,
    due_at       TEXT,
    expires_at   TEXT,
    decided_at   TEXT,          -- of the first route
    decisions    INTEGER,       -- number of the last decision
    expected_px  TEXT,
    mid_px       TEXT,          -- when the first route was decided
    done_at      TEXT,
    filled_qty   TEXT,
    notional     TEXT,
    fees         TEXT,
    reason       TEXT,
    text         TEXT,
    PRIMARY KEY (parent_id, symbol, slice_no)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS children (
    child_id       TEXT PRIMARY KEY,
    venue          TEXT NOT NULL,
    symbol         TEXT NOT NULL,
    parent_id      TEXT NOT NULL,
    slice_no       INTEGER,
    side           TEXT,
    qty            TEXT,
    price          TEXT,
    tif            TEXT,
    post_only      INTEGER,
    expires_at     TEXT,
    state          TEXT,        -- new, then the last execution event's name
    venue_order_id TEXT,
    submitting_at  TEXT,
    accepted_at    TEXT,
    ended_at       TEXT,
    cum_qty        TEXT,
    notional       TEXT,
    fees           TEXT,
    code           TEXT,
    text           TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS children_by_parent ON children (parent_id, symbol);

CREATE TABLE IF NOT EXISTS fills (
    venue        TEXT NOT NULL,
    symbol       TEXT NOT NULL,
    fill_id      TEXT NOT NULL,
    trade_id     TEXT NOT NULL,
    child_id     TEXT NOT NULL,
    parent_id    TEXT NOT NULL,
    slice_no     INTEGER NOT NULL,
    side         TEXT NOT NULL,
    qty          TEXT NOT NULL,
    price        TEXT NOT NULL,
    fee          TEXT NOT NULL,
    fee_currency TEXT NOT NULL,
    liquidity    TEXT NOT NULL,
    venue_at     TEXT NOT NULL,
    at           TEXT NOT NULL,
    PRIMARY KEY (venue, symbol, fill_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS fills_by_parent ON fills (parent_id, symbol);

CREATE TABLE IF NOT EXISTS tca (
    parent_id            TEXT NOT NULL,
    symbol               TEXT NOT NULL,
    algo                 TEXT NOT NULL,
    at                   TEXT NOT NULL,
    report               TEXT NOT NULL,  -- the TcaReport, JSON
    arrival_slippage_bps REAL,
    shortfall_bps        REAL,
    fee_bps              REAL,
    published            INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (parent_id, symbol)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tca_unpublished ON tca (parent_id) WHERE published = 0;

-- Parents that ended or got a fill after their end, and whose analysis is therefore due.
CREATE TABLE IF NOT EXISTS tca_due (
    parent_id TEXT NOT NULL,
    symbol    TEXT NOT NULL,
    since_ns  INTEGER NOT NULL,
    PRIMARY KEY (parent_id, symbol)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS totals (
    kind  TEXT NOT NULL,        -- venue or algo
    name  TEXT NOT NULL,
    sums  TEXT NOT NULL,        -- JSON
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS books (
    symbol  TEXT NOT NULL,
    at_ns   INTEGER NOT NULL,
    bid_px  TEXT,
    bid_qty TEXT,
    ask_px  TEXT,
    ask_qty TEXT,
    mid     REAL,               -- for charts
    PRIMARY KEY (symbol, at_ns)
) WITHOUT ROWID;

-- What each market traded by the minute, a row for a session; `published_ns` is 0 until the bus has it.
CREATE TABLE IF NOT EXISTS volumes (
    symbol       TEXT NOT NULL,
    date         TEXT NOT NULL,
    published_ns INTEGER NOT NULL,
    day          TEXT NOT NULL,  -- the VolumeDay, JSON
    PRIMARY KEY (symbol, date)
);
CREATE INDEX IF NOT EXISTS volumes_by_publication ON volumes (published_ns);

-- What orders found in the dark, a row for a symbol; `published_ns` is 0 until the bus has it.
CREATE TABLE IF NOT EXISTS pools (
    symbol       TEXT PRIMARY KEY,
    published_ns INTEGER NOT NULL,
    findings     TEXT NOT NULL  -- the PoolFindings, JSON
) WITHOUT ROWID;

PRAGMA user_version = 1;
