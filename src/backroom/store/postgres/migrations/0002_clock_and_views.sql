-- The one clock. Every statement takes the time from here; tests replace the function by one that
-- adds an offset. It is STABLE and a single expression, so that the planner puts it in place and
-- uses it as the bound of an index scan.
CREATE FUNCTION backroom.now_us() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS
    'SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint';

-- The number that the first attempt of a run has. Attempts of a database that was brought back from a
-- backup begin above all that its former workers may still hold; see `epoch.py`.
CREATE FUNCTION backroom.first_attempt() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE AS
    'SELECT 1';

-- A stored time as people read it; exact, which a division by a million is not.
CREATE FUNCTION backroom.time_of(us bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    'SELECT timestamptz ''epoch'' + us * interval ''1 microsecond''';

-- A run as `RunRow` has it, with times as numbers. Not public.
CREATE VIEW backroom.run_row AS
SELECT
    r.id, r.flow, r.queue,
    CASE
        WHEN e.state IS NOT NULL THEN e.state
        WHEN l.state = 'scheduled' AND l.available_at <= backroom.now_us() THEN 'ready'
        ELSE l.state
    END AS state,
    r.priority, r.key, coalesce(e.attempt, l.attempt) AS attempt,
    r.input, e.result, coalesce(e.error, l.error) AS error,
    p.fraction, p.status, r.created_at,
    CASE WHEN l.available_at < 9223372036854775807 AND l.state <> 'running'
        THEN l.available_at END AS available_at,
    coalesce(e.started_at, l.started_at) AS started_at, e.finished_at,
    r.parent_id, r.cause_id, coalesce(e.worker, l.worker) AS worker, l.cancel_reason,
    r.subject, r.erased_at, r.version
FROM backroom.run AS r
LEFT JOIN backroom.live AS l ON l.id = r.id
LEFT JOIN backroom.result AS e ON e.run_id = r.id
LEFT JOIN backroom.progress AS p ON p.run_id = r.id;

-- The stable views. They are public: columns are added, never renamed or removed.
CREATE VIEW backroom.runs AS
SELECT
    r.id, r.flow, r.queue, r.state, r.status, r.fraction AS progress, r.key, r.priority, r.attempt,
    r.input, r.result, r.error,
    backroom.time_of(r.created_at) AS created_at,
    backroom.time_of(r.available_at) AS available_at,
    backroom.time_of(r.started_at) AS started_at,
    backroom.time_of(r.finished_at) AS finished_at,
    r.parent_id, r.cause_id, r.worker, r.cancel_reason, r.subject,
    backroom.time_of(r.erased_at) AS erased_at, r.version
FROM backroom.run_row AS r;

CREATE VIEW backroom.steps AS
SELECT
    s.run_id, s.address, s.name, s.kind, s.state, s.result, s.error, s.tries, s.attempt,
    backroom.time_of(s.started_at) AS started_at,
    backroom.time_of(s.finished_at) AS finished_at
FROM backroom.step AS s;
