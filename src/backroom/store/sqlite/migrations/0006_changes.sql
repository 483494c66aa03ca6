-- Changes of the application's rows, and the runs that they start.
--
--   backroom_trigger   which changes of a table start which flow
--   backroom_change    changes that are not runs yet: an inbox. What is read is removed, in the
--                      transaction that stores the runs; there is no cursor that could pass one by
--   backroom_held      those of them whose trigger is paused
--   backroom_cause     one row while a run writes: its id. Only its own transaction ever sees it
--   backroom_firing    changes that started nothing, counted by trigger, cause and outcome
--
-- A hot row that came from a change is `of_row`: its trigger and key. `turn` is its place in the line of
-- runs of that row, which are performed one after another.
CREATE TABLE backroom_trigger (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    table_name   TEXT NOT NULL,
    flow         TEXT NOT NULL,
    version      INTEGER NOT NULL,
    queue        TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    timeout_us   INTEGER,
    expires_us   INTEGER,
    parameter    TEXT NOT NULL,
    subject      TEXT,
    coalesced    INTEGER NOT NULL,
    own          INTEGER NOT NULL,
    definition   TEXT NOT NULL,
    installed_at INTEGER NOT NULL,
    paused_at    INTEGER,
    paused_by    TEXT,
    started      INTEGER NOT NULL DEFAULT 0,
    merged       INTEGER NOT NULL DEFAULT 0,
    dropped      INTEGER NOT NULL DEFAULT 0
);

-- Made by triggers in anybody's connection, so it has as little to keep up as can be.
CREATE TABLE backroom_change (
    id         INTEGER PRIMARY KEY,
    trigger_id INTEGER NOT NULL,
    at         INTEGER,
    key        TEXT,
    old        TEXT,
    new        TEXT,
    cause      TEXT
);

CREATE TABLE backroom_held (
    id         INTEGER PRIMARY KEY,
    trigger_id INTEGER NOT NULL,
    at         INTEGER,
    key        TEXT,
    old        TEXT,
    new        TEXT,
    cause      TEXT
);
CREATE INDEX backroom_held_trigger ON backroom_held (trigger_id, id);

CREATE TABLE backroom_cause (run_id TEXT NOT NULL);

CREATE TABLE backroom_firing (
    trigger_id INTEGER NOT NULL,
    outcome    TEXT NOT NULL,
    cause_id   TEXT NOT NULL,
    count      INTEGER NOT NULL,
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    key        TEXT NOT NULL,
    path       TEXT NOT NULL,
    PRIMARY KEY (trigger_id, cause_id, outcome)
) WITHOUT ROWID;

ALTER TABLE backroom_run ADD COLUMN started_by TEXT;
ALTER TABLE backroom_live ADD COLUMN of_row TEXT;
ALTER TABLE backroom_live ADD COLUMN turn INTEGER;
CREATE INDEX backroom_live_of_row ON backroom_live (of_row, turn) WHERE of_row IS NOT NULL;
