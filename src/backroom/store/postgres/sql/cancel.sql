-- Cancels runs with all that live below them. `asked`: the runs themselves, or (itself = false)
-- runs that this very transaction has ended (their results' xmin tells), whose children are to go. A run that is held is marked for its worker;
-- any other ends here and wakes its parent, unless that one goes as well.
WITH RECURSIVE asked AS MATERIALIZED (
    SELECT g.id, g.reason FROM unnest(%(ids)s::uuid[], %(reasons)s::text[]) AS g (id, reason)
), tree (id, reason) AS (
    SELECT l.id, a.reason FROM asked AS a JOIN backroom.live AS l ON l.id = a.id
    WHERE %(itself)s::boolean
    UNION
    SELECT c.id, a.reason FROM asked AS a JOIN backroom.live AS c ON c.parent_id = a.id
    WHERE EXISTS (
        SELECT 1 FROM backroom.result AS e
        WHERE e.run_id = a.id AND e.xmin = pg_current_xact_id_if_assigned()::xid
    )
    UNION
    SELECT c.id, t.reason FROM tree AS t JOIN backroom.live AS c ON c.parent_id = t.id
), going AS MATERIALIZED (
    SELECT t.id, min(t.reason) AS reason FROM tree AS t GROUP BY t.id
), locked AS MATERIALIZED (
    SELECT l.id, l.state, g.reason FROM going AS g JOIN backroom.live AS l ON l.id = g.id
    ORDER BY l.id FOR UPDATE OF l
), marked AS (
    UPDATE backroom.live AS l SET cancel_reason = coalesce(l.cancel_reason, k.reason)
    FROM locked AS k WHERE l.id = k.id AND k.state = 'running'
), ended AS (
    DELETE FROM backroom.live AS l USING locked AS k WHERE l.id = k.id AND k.state <> 'running'
    RETURNING l.id, l.parent_id, l.attempt, l.started_at, coalesce(l.cancel_reason, k.reason) AS reason
), kept AS (
    INSERT INTO backroom.result (run_id, state, attempt, error, started_at, finished_at)
    SELECT
        e.id, 'cancelled', e.attempt,
        json_build_object('kind', 'Cancelled', 'message', e.reason)::text,
        e.started_at, backroom.now_us()
    FROM ended AS e
), forgotten AS (
    DELETE FROM backroom.wait AS w USING ended AS e WHERE w.run_id = e.id
)
UPDATE backroom.live AS p
SET state = 'ready', available_at = least(p.available_at, backroom.now_us())
FROM ended AS e
WHERE p.id = e.parent_id AND p.state = 'waiting'
  AND NOT EXISTS (SELECT 1 FROM going AS g WHERE g.id = p.id)
  AND EXISTS (
    SELECT 1 FROM backroom.wait AS w
    WHERE w.run_id = p.id AND w.kind = 'child' AND w.name = e.id::text
  )
