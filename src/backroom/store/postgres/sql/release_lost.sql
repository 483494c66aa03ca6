-- Releases the runs of workers that died, with a mark. The second time without progress makes a run
-- a suspect, ten priorities behind; a suspect was alone, so once more and it is set aside for a
-- person (rules/suspicion.py). `worker` NULL: of every worker that has no row. The attempt
-- is compared again under the lock: a run that was claimed meanwhile, by a worker newer than this
-- statement's snapshot, is not an orphan. What others have locked is looked at by the next sweep.
WITH orphan AS MATERIALIZED (
    SELECT l.id, l.attempt FROM backroom.live AS l
    WHERE l.worker IS NOT NULL AND l.state = 'running'
      AND (%(worker)s::text IS NULL OR l.worker = %(worker)s)
      AND NOT EXISTS (SELECT 1 FROM backroom.worker AS w WHERE w.id = l.worker OFFSET 0)
), lost AS MATERIALIZED (
    SELECT
        l.id, l.attempt, l.worker, l.claimed_at, l.starts,
        l.starts >= %(max_starts)s AND l.priority >= 10 AS poison
    FROM backroom.live AS l JOIN orphan AS o ON l.id = o.id AND l.attempt = o.attempt
    WHERE l.state = 'running'
    ORDER BY l.id FOR UPDATE OF l SKIP LOCKED
), tried AS (
    INSERT INTO backroom.attempt (run_id, attempt, worker, started_at, ended_at, outcome, error)
    SELECT l.id, l.attempt, l.worker, coalesce(l.claimed_at, 0), backroom.now_us(), 'lost', NULL
    FROM lost AS l
    ON CONFLICT DO NOTHING
)
UPDATE backroom.live AS l
SET state = CASE WHEN g.poison THEN 'needs_attention' ELSE 'ready' END,
    available_at = CASE WHEN g.poison THEN 9223372036854775807 ELSE backroom.now_us() END,
    error = CASE WHEN g.poison THEN json_build_object(
        'kind', 'Poison', 'message', format(
            'Its worker died %%s times in a row while it performed this run, without any progress '
            'in between, the last time with no other run beside it. Find out what kills the '
            'process, then retry or cancel the run.', g.starts
        )
    )::text END,
    priority = CASE WHEN g.poison OR g.starts < 2 THEN l.priority %% 10
        ELSE l.priority %% 10 + 10 END,
    worker = NULL
FROM lost AS g
WHERE l.id = g.id
RETURNING l.id::text
