-- Queues with rules, runs that expire, and which queues and flows a worker serves.
--
--   backroom_queue   what is declared about a queue; one that declares nothing has no row. `set_by`:
--                    an operator has set other rules, and `declared` keeps those of the code
--
-- Three columns of a hot row belong to that: `expires_at`, after which a run that hasn't begun is
-- not to begin; `partition`, the part of its queue that it belongs to; `counted`, set by the claim
-- of a queue with rules, whose running rows are counted by it.
CREATE TABLE backroom_queue (
    name          TEXT PRIMARY KEY NOT NULL,
    concurrency   INTEGER,
    per_partition INTEGER,
    rate          INTEGER,
    per_us        INTEGER,
    interval_us   INTEGER,
    burst         INTEGER,
    full_at       INTEGER NOT NULL DEFAULT 0,
    max_waiting   INTEGER,
    parted        INTEGER NOT NULL DEFAULT 0,
    paused_at     INTEGER,
    paused_by     TEXT,
    set_by        TEXT,
    declared      TEXT,
    changed_at    INTEGER NOT NULL
) WITHOUT ROWID;

ALTER TABLE backroom_run ADD COLUMN partition TEXT;
ALTER TABLE backroom_live ADD COLUMN expires_at INTEGER;
ALTER TABLE backroom_live ADD COLUMN partition TEXT;
ALTER TABLE backroom_live ADD COLUMN counted INTEGER;
ALTER TABLE backroom_worker ADD COLUMN queues TEXT NOT NULL DEFAULT '[]';
ALTER TABLE backroom_worker ADD COLUMN flows TEXT NOT NULL DEFAULT '[]';

-- A run stands in one of two indexes. That of due runs has all that have no partition, and the
-- timers and suspects (in the lines from 10 on) of those that have one. What is ready and has a
-- partition stands by it, so that a claim can step from partition to partition, however many runs
-- one of them has.
DROP INDEX backroom_live_due;
CREATE INDEX backroom_live_due ON backroom_live (queue, priority, available_at, id)
    WHERE (state = 'ready' OR state = 'scheduled' OR state = 'waiting')
      AND (partition IS NULL OR state <> 'ready' OR priority >= 10);
CREATE INDEX backroom_live_parted ON backroom_live (queue, partition, priority, available_at, id)
    WHERE partition IS NOT NULL AND state = 'ready' AND priority < 10;

-- These have entries of runs alone that have to do with rules or expire; others cost them nothing.
CREATE INDEX backroom_live_counted ON backroom_live (queue, partition)
    WHERE counted = 1 AND state = 'running';
CREATE INDEX backroom_live_expires ON backroom_live (expires_at)
    WHERE expires_at IS NOT NULL AND started_at IS NULL;

-- What was read goes with its run.
CREATE INDEX backroom_event_read ON backroom_event (run_id) WHERE consumed_at IS NOT NULL;
