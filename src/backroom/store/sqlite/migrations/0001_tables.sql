-- The tables of backroom, in the application's own database file.
--
--   backroom_run      cold: what was asked; one row per run, written once
--   backroom_live     hot and narrow: where a run stands; gone when it ends
--   backroom_result   cold: how it ended; one row per ended run, written once
--   backroom_step     checkpoints          backroom_wait      what parked runs wait for
--   backroom_event    mailboxes            backroom_progress  progress and status text
--   backroom_attempt  attempts that failed backroom_worker    workers and their leases
--   backroom_key      which run holds a key
--   backroom_audit    what was done that leaves no other trace
--
-- Times are whole microseconds since 1970 UTC. Payloads are JSON text.

CREATE TABLE backroom_run (
    id          TEXT PRIMARY KEY NOT NULL,
    flow        TEXT NOT NULL,
    queue       TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    key         TEXT,
    input       TEXT NOT NULL,
    format      INTEGER NOT NULL DEFAULT 1,
    timeout_us  INTEGER,
    parent_id   TEXT,
    cause_id    TEXT,
    root_id     TEXT,
    depth       INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL DEFAULT 1,
    subject     TEXT,
    erased_at   INTEGER
);
CREATE INDEX backroom_run_flow ON backroom_run (flow, id);
CREATE INDEX backroom_run_parent ON backroom_run (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX backroom_run_subject ON backroom_run (subject, id) WHERE subject IS NOT NULL;

-- `flow` is what a worker has to know to perform the run: `ship`, or of a later version `ship@2`.
CREATE TABLE backroom_live (
    id            TEXT PRIMARY KEY NOT NULL,
    flow          TEXT NOT NULL,
    queue         TEXT NOT NULL,
    priority      INTEGER NOT NULL,
    state         TEXT NOT NULL,
    available_at  INTEGER NOT NULL,
    attempt       INTEGER NOT NULL DEFAULT 0,
    starts        INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0,
    worker        TEXT,
    started_at    INTEGER,
    claimed_at    INTEGER,
    deadline_at   INTEGER,
    parent_id     TEXT,
    cancel_reason TEXT,
    error         TEXT
) WITHOUT ROWID;

-- One index serves ready runs, timers, retries and time-outs alike. Its condition is spelled with
-- OR: for an IN list of three SQLite builds a temporary table in every statement that touches the
-- index, which doubled the cost of a start, a claim and an end. Queries must spell it the same.
CREATE INDEX backroom_live_due ON backroom_live (queue, priority, available_at, id)
    WHERE state = 'ready' OR state = 'scheduled' OR state = 'waiting';
CREATE INDEX backroom_live_held ON backroom_live (worker) WHERE state = 'running';
CREATE INDEX backroom_live_parent ON backroom_live (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE backroom_result (
    run_id      TEXT PRIMARY KEY NOT NULL,
    state       TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    result      TEXT,
    error       TEXT,
    worker      TEXT,
    started_at  INTEGER,
    finished_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX backroom_result_bad ON backroom_result (state, run_id) WHERE state <> 'succeeded';

CREATE TABLE backroom_key (
    flow   TEXT NOT NULL,
    key    TEXT NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (flow, key)
) WITHOUT ROWID;

CREATE TABLE backroom_step (
    run_id      TEXT NOT NULL,
    address     TEXT NOT NULL,
    name        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    result      TEXT,
    error       TEXT,
    fingerprint TEXT,
    tries       INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, address)
) WITHOUT ROWID;

CREATE TABLE backroom_wait (
    run_id  TEXT NOT NULL,
    address TEXT NOT NULL,
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    due_at  INTEGER NOT NULL,
    PRIMARY KEY (run_id, address)
) WITHOUT ROWID;
-- A parent may wait for thousands of children; the end of one must find it without passing them.
CREATE INDEX backroom_wait_child ON backroom_wait (name, run_id) WHERE kind = 'child';

CREATE TABLE backroom_event (
    id          TEXT PRIMARY KEY NOT NULL,
    run_id      TEXT NOT NULL,
    name        TEXT NOT NULL,
    payload     TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    consumed_at INTEGER,
    consumed_by TEXT
) WITHOUT ROWID;
CREATE INDEX backroom_event_unread ON backroom_event (run_id, name, created_at, id)
    WHERE consumed_at IS NULL;

CREATE TABLE backroom_progress (
    run_id     TEXT PRIMARY KEY NOT NULL,
    fraction   REAL,
    status     TEXT,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE backroom_attempt (
    run_id     TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    worker     TEXT,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    outcome    TEXT NOT NULL,
    error      TEXT,
    PRIMARY KEY (run_id, attempt)
) WITHOUT ROWID;

CREATE TABLE backroom_worker (
    id          TEXT PRIMARY KEY NOT NULL,
    name        TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    concurrency INTEGER NOT NULL,
    bell        TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE backroom_audit (
    id   TEXT PRIMARY KEY NOT NULL,
    at   INTEGER NOT NULL,
    act  TEXT NOT NULL,
    by   TEXT NOT NULL,
    what TEXT NOT NULL
) WITHOUT ROWID;
