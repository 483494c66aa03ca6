-- As lock_ending, and with those that are cancelled also all below them (they go as well): everything
-- in one ascending order. The parent of a run of a window (version 8) is always locked: its Park locks
-- it too, so the last end of the window and the parking come one after the other.
WITH RECURSIVE tree (id) AS (
    SELECT unnest(%(going)s::uuid[])
    UNION
    SELECT c.id FROM tree AS t
    CROSS JOIN LATERAL (
        SELECT l.id FROM backroom.live AS l WHERE l.parent_id = t.id OFFSET 0
    ) AS c
), ending AS MATERIALIZED (
    SELECT t.id FROM tree AS t
    UNION ALL
    SELECT unnest(%(ending)s::uuid[])
)
SELECT l.id::text, l.attempt, l.state FROM backroom.live AS l
WHERE l.id = ANY (ARRAY(
    SELECT unnest(%(ids)s::uuid[])
    UNION ALL
    SELECT e.id FROM ending AS e
    UNION ALL
    SELECT w.run_id FROM ending AS e
    CROSS JOIN LATERAL (
        SELECT w.run_id FROM backroom.wait AS w
        WHERE (w.kind = 'child' OR w.kind = 'after' OR w.kind = 'after_end')
          AND w.name = e.id::text OFFSET 0
    ) AS w
    UNION ALL
    SELECT l.parent_id FROM ending AS e
    CROSS JOIN LATERAL (
        SELECT l.parent_id FROM backroom.live AS l
        WHERE l.id = e.id AND l.parent_id IS NOT NULL OFFSET 0
    ) AS l
    WHERE substr(e.id::text, 15, 1) = '8'
))
ORDER BY l.id
FOR UPDATE
