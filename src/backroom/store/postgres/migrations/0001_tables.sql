-- The tables of backroom, in a schema of their own inside the application's database.
--
--   run      cold: what was asked; one row per run, written once
--   live     hot and narrow: where a run stands; gone when it ends
--   result   cold: how it ended; one row per ended run, written once
--   step     checkpoints          wait      what parked runs wait for
--   event    mailboxes            progress  progress and status text
--   attempt  attempts that failed worker    workers and their leases
--   key      which run holds a key
--   audit    what was done that leaves no other trace
--
-- Times are whole microseconds since 1970 UTC. Payloads are JSON text, not jsonb: a value must be
-- read back exactly as it was written, and nothing here looks inside one.

CREATE TABLE backroom.run (
    id          uuid PRIMARY KEY,
    parent_id   uuid,
    cause_id    uuid,
    root_id     uuid,
    timeout_us  bigint,
    created_at  bigint NOT NULL,
    priority    integer NOT NULL,
    format      integer NOT NULL DEFAULT 1,
    depth       integer NOT NULL DEFAULT 0,
    version     integer NOT NULL DEFAULT 1,
    flow        text NOT NULL,
    queue       text NOT NULL,
    key         text,
    input       text NOT NULL,
    subject     text,
    erased_at   bigint
);
CREATE INDEX run_parent ON backroom.run (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX run_subject ON backroom.run (subject, id) WHERE subject IS NOT NULL;

-- `flow` is what a worker has to know to perform the run: `ship`, or of a later version `ship@2`.
--
-- Rows of this table live for moments and change several times. Room on each page keeps their
-- versions together, and vacuum comes early and unthrottled, or the index of due runs fills with
-- dead entries that every claim would have to pass over.
CREATE TABLE backroom.live (
    id            uuid PRIMARY KEY,
    parent_id     uuid,
    available_at  bigint NOT NULL,
    started_at    bigint,
    claimed_at    bigint,
    deadline_at   bigint,
    priority      integer NOT NULL,
    attempt       integer NOT NULL DEFAULT 0,
    starts        integer NOT NULL DEFAULT 0,
    failures      integer NOT NULL DEFAULT 0,
    state         text NOT NULL,
    flow          text NOT NULL,
    queue         text NOT NULL,
    worker        text,
    cancel_reason text,
    error         text
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_analyze_threshold = 1000,
    vacuum_truncate = off
);

-- One index serves ready runs, timers, retries and time-outs alike. A run has a worker if and only
-- if it is running; the next index says so in those words, since one on state = 'running' would
-- tempt the planner to look up single runs through it.
CREATE INDEX live_due ON backroom.live (queue, priority, available_at, id)
    WHERE state IN ('ready', 'scheduled', 'waiting');
CREATE INDEX live_held ON backroom.live (worker) WHERE worker IS NOT NULL;
CREATE INDEX live_parent ON backroom.live (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE backroom.result (
    run_id      uuid PRIMARY KEY,
    started_at  bigint,
    finished_at bigint NOT NULL,
    attempt     integer NOT NULL,
    state       text NOT NULL,
    worker      text,
    result      text,
    error       text
);
CREATE INDEX result_bad ON backroom.result (state, run_id) WHERE state <> 'succeeded';

CREATE TABLE backroom.key (
    run_id uuid NOT NULL,
    flow   text NOT NULL,
    key    text NOT NULL,
    PRIMARY KEY (flow, key)
);

CREATE TABLE backroom.step (
    run_id      uuid NOT NULL,
    started_at  bigint NOT NULL,
    finished_at bigint NOT NULL,
    tries       integer NOT NULL,
    attempt     integer NOT NULL,
    address     text NOT NULL,
    name        text NOT NULL,
    kind        text NOT NULL,
    state       text NOT NULL,
    result      text,
    error       text,
    fingerprint text,
    PRIMARY KEY (run_id, address)
);

CREATE TABLE backroom.wait (
    run_id  uuid NOT NULL,
    due_at  bigint NOT NULL,
    address text NOT NULL,
    kind    text NOT NULL,
    name    text NOT NULL,
    PRIMARY KEY (run_id, address)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_truncate = off
);

CREATE INDEX wait_child ON backroom.wait (name, run_id) WHERE kind = 'child';

-- An event's id comes from outside (a sender's idempotency key may make it), so it is text.
CREATE TABLE backroom.event (
    run_id      uuid NOT NULL,
    created_at  bigint NOT NULL,
    consumed_at bigint,
    id          text PRIMARY KEY,
    name        text NOT NULL,
    payload     text NOT NULL,
    consumed_by text
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.02
);
CREATE INDEX event_unread ON backroom.event (run_id, name, created_at, id)
    WHERE consumed_at IS NULL;

CREATE TABLE backroom.progress (
    run_id     uuid PRIMARY KEY,
    updated_at bigint NOT NULL,
    fraction   double precision,
    status     text
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_cost_delay = 0
);

CREATE TABLE backroom.attempt (
    run_id     uuid NOT NULL,
    started_at bigint NOT NULL,
    ended_at   bigint NOT NULL,
    attempt    integer NOT NULL,
    outcome    text NOT NULL,
    worker     text,
    error      text,
    PRIMARY KEY (run_id, attempt)
);

-- A handful of rows, each rewritten every few seconds.
CREATE TABLE backroom.worker (
    lease_until bigint NOT NULL,
    started_at  bigint NOT NULL,
    concurrency integer NOT NULL,
    id          text PRIMARY KEY,
    name        text NOT NULL,
    bell        text NOT NULL
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_truncate = off
);

CREATE TABLE backroom.audit (
    id   uuid PRIMARY KEY,
    at   bigint NOT NULL,
    act  text NOT NULL,
    by   text NOT NULL,
    what text NOT NULL
);
