-- The one clock. Every statement takes the time from here; tests replace the view by one that
-- adds an offset. SQLite 3.40 has no sub-second unixepoch(), so the time comes from julianday().
CREATE VIEW backroom_clock AS
    SELECT CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000 AS now_us;

-- The number that the first attempt of a run has. Attempts of a database that was brought back from a
-- backup begin above all that its former workers may still hold; see `epoch.py`.
CREATE VIEW backroom_epoch AS SELECT 1 AS first_attempt;

-- A run as `RunRow` has it, with times as numbers. Not public.
CREATE VIEW backroom_row AS
SELECT
    r.id, r.flow, r.queue,
    CASE
        WHEN e.state IS NOT NULL THEN e.state
        WHEN l.state = 'scheduled' AND l.available_at <= (SELECT now_us FROM backroom_clock) THEN 'ready'
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
FROM backroom_run AS r
LEFT JOIN backroom_live AS l ON l.id = r.id
LEFT JOIN backroom_result AS e ON e.run_id = r.id
LEFT JOIN backroom_progress AS p ON p.run_id = r.id;

-- The stable views. They are public: columns are added, never renamed or removed.
CREATE VIEW backroom_runs AS
SELECT
    id, flow, queue, state, status, fraction AS progress, key, priority, attempt,
    input, result, error,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000000.0, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', available_at / 1000000.0, 'unixepoch') AS available_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000000.0, 'unixepoch') AS started_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1000000.0, 'unixepoch') AS finished_at,
    parent_id, cause_id, worker, cancel_reason, subject,
    strftime('%Y-%m-%dT%H:%M:%fZ', erased_at / 1000000.0, 'unixepoch') AS erased_at, version
FROM backroom_row;

CREATE VIEW backroom_steps AS
SELECT
    s.run_id, s.address, s.name, s.kind, s.state, s.result, s.error, s.tries, s.attempt,
    strftime('%Y-%m-%dT%H:%M:%fZ', s.started_at / 1000000.0, 'unixepoch') AS started_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', s.finished_at / 1000000.0, 'unixepoch') AS finished_at
FROM backroom_step AS s;
