-- Cancels runs with all that live below them. `ids`: the runs themselves, or (itself = false) runs
-- that this very transaction has ended (their results' xmin tells), whose children are to go. A run
-- that is held is marked for its worker; one with registered undos is marked and woken, to go
-- backwards, unless it does so already; any other ends here and wakes whoever waits for it, unless that one goes as well. The
-- rows are looked up by id again, since what came while we waited for the first lock of this
-- transaction is locked only here, and may have moved.
WITH RECURSIVE asked AS MATERIALIZED (
    SELECT unnest(%(ids)s::uuid[]) AS id
), tree (id) AS (
    SELECT l.id FROM asked AS a
    CROSS JOIN LATERAL (
        SELECT l.id FROM backroom.live AS l WHERE l.id = a.id OFFSET 0
    ) AS l
    WHERE %(itself)s::boolean
    UNION
    SELECT c.id FROM asked AS a
    CROSS JOIN LATERAL (
        SELECT l.id, l.parent_id FROM backroom.live AS l WHERE l.parent_id = a.id OFFSET 0
    ) AS c
    WHERE NOT %(itself)s::boolean AND EXISTS (
        SELECT 1 FROM backroom.result AS e
        WHERE e.run_id = c.parent_id AND e.xmin = pg_current_xact_id_if_assigned()::xid OFFSET 0
    )
    UNION
    SELECT c.id FROM tree AS t
    CROSS JOIN LATERAL (
        SELECT l.id FROM backroom.live AS l WHERE l.parent_id = t.id OFFSET 0
    ) AS c
), locked AS MATERIALIZED (
    SELECT
        l.id, l.state,
        EXISTS (
            SELECT 1 FROM backroom.step AS s WHERE s.run_id = l.id AND s.kind = 'undo' OFFSET 0
        ) AS undoes,
        EXISTS (
            SELECT 1 FROM backroom.step AS s WHERE s.run_id = l.id AND s.address = 'rollback' OFFSET 0
        ) AND NOT EXISTS (
            SELECT 1 FROM backroom.step AS s
            WHERE s.run_id = l.id AND s.address = 'otherwise' AND s.name = 'begun' OFFSET 0
        ) AS backwards
    FROM backroom.live AS l
    WHERE l.id = ANY (ARRAY(SELECT t.id FROM tree AS t)) ORDER BY l.id FOR UPDATE
), marked AS (
    UPDATE backroom.live AS l SET cancel_reason = coalesce(l.cancel_reason, %(reason)s::text)
    WHERE l.id = ANY (ARRAY(SELECT k.id FROM locked AS k WHERE k.state = 'running'))
), turned AS (
    UPDATE backroom.live AS l
    SET cancel_reason = coalesce(l.cancel_reason, %(reason)s::text), state = 'ready',
        available_at = least(l.available_at, backroom.now_us())
    WHERE l.id = ANY (
        ARRAY(SELECT k.id FROM locked AS k WHERE k.state <> 'running' AND k.undoes AND NOT k.backwards)
    )
), ended AS (
    DELETE FROM backroom.live AS l
    WHERE l.id = ANY (
        ARRAY(SELECT k.id FROM locked AS k WHERE k.state <> 'running' AND NOT k.undoes AND NOT k.backwards)
    )
    RETURNING
        l.id, l.parent_id, l.attempt, l.started_at, coalesce(l.cancel_reason, %(reason)s::text) AS reason
), kept AS (
    INSERT INTO backroom.result (run_id, state, attempt, error, started_at, finished_at)
    SELECT
        e.id, 'cancelled', e.attempt,
        json_build_object('kind', 'Cancelled', 'message', e.reason)::text,
        e.started_at, backroom.now_us()
    FROM ended AS e
), forgotten AS (
    DELETE FROM backroom.wait AS w WHERE w.run_id = ANY (ARRAY(SELECT e.id FROM ended AS e))
), waiting AS MATERIALIZED (
    SELECT l.id FROM backroom.live AS l
    WHERE l.state || '' = 'waiting' AND l.id = ANY (ARRAY(
        SELECT w.run_id FROM ended AS e
        CROSS JOIN LATERAL (
            SELECT w.run_id FROM backroom.wait AS w
            WHERE w.kind = 'child' AND w.name = e.id::text OFFSET 0
        ) AS w
        WHERE w.run_id <> ALL (ARRAY(SELECT k.id FROM locked AS k WHERE NOT k.backwards))
    ))
    ORDER BY l.id FOR UPDATE
)
UPDATE backroom.live AS p
SET state = 'ready', available_at = least(p.available_at, backroom.now_us())
WHERE p.id = ANY (ARRAY(SELECT w.id FROM waiting AS w))
