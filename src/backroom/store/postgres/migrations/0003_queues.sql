-- Queues with rules, runs that expire, and which queues and flows a worker serves.
--
--   queue   what is declared about a queue; one that declares nothing has no row. `set_by`: an
--           operator has set other rules, and `declared` keeps those of the code
--
-- Three columns of a hot row belong to that: `expires_at`, after which a run that hasn't begun is not
-- to begin; `partition`, the part of its queue that it belongs to; `counted`, set by the claim of a
-- queue with rules, whose running rows are counted by it.
CREATE TABLE backroom.queue (
    per_us          bigint,
    interval_us     bigint,
    full_at         bigint NOT NULL DEFAULT 0,
    paused_at       bigint,
    changed_at      bigint NOT NULL,
    concurrency     integer,
    per_partition   integer,
    rate            integer,
    burst           integer,
    max_waiting     integer,
    parted          boolean NOT NULL DEFAULT false,
    ruled           boolean GENERATED ALWAYS AS (
        parted OR concurrency IS NOT NULL OR interval_us IS NOT NULL OR paused_at IS NOT NULL
    ) STORED,
    name            text PRIMARY KEY,
    paused_by       text,
    set_by          text,
    declared        text
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_truncate = off
);

ALTER TABLE backroom.run ADD COLUMN partition text;
ALTER TABLE backroom.live
    ADD COLUMN expires_at bigint,
    ADD COLUMN partition text,
    ADD COLUMN counted boolean;
ALTER TABLE backroom.worker
    ADD COLUMN queues text NOT NULL DEFAULT '[]',
    ADD COLUMN flows text NOT NULL DEFAULT '[]';

-- A run stands in one of two indexes. That of due runs has all that have no partition, and the
-- timers and suspects (in the lines from 10 on) of those that have one. What is ready and has a
-- partition stands by it, so that a claim can step from partition to partition, however many runs
-- one of them has.
DROP INDEX backroom.live_due;
CREATE INDEX live_due ON backroom.live (queue, priority, available_at, id)
    WHERE state IN ('ready', 'scheduled', 'waiting') AND (partition IS NULL OR state <> 'ready' OR priority >= 10);
CREATE INDEX live_parted ON backroom.live (queue, partition, priority, available_at, id)
    WHERE partition IS NOT NULL AND state = 'ready' AND priority < 10;

-- These have entries of runs alone that have to do with rules or expire; others cost them nothing.
CREATE INDEX live_counted ON backroom.live (queue, partition) WHERE counted AND worker IS NOT NULL;
CREATE INDEX live_expires ON backroom.live (expires_at)
    WHERE expires_at IS NOT NULL AND started_at IS NULL;

-- What was read goes with its run.
CREATE INDEX event_read ON backroom.event (run_id) WHERE consumed_at IS NOT NULL;
