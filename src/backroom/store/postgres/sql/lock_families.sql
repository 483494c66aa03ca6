-- As lock_runs, and with those that end, their parents (they will be woken), and with those that are
-- cancelled also all below them (they go as well): everything in one ascending order.
WITH RECURSIVE tree (id) AS (
    SELECT unnest(%(going)s::uuid[])
    UNION
    SELECT c.id FROM tree AS t
    CROSS JOIN LATERAL (
        SELECT l.id FROM backroom.live AS l WHERE l.parent_id = t.id OFFSET 0
    ) AS c
)
SELECT l.id::text, l.attempt, l.state FROM backroom.live AS l
WHERE l.id = ANY (ARRAY(
    SELECT unnest(%(ids)s::uuid[])
    UNION ALL
    SELECT t.id FROM tree AS t
    UNION ALL
    SELECT e.id FROM unnest(%(ending)s::uuid[]) AS e (id)
    UNION ALL
    SELECT p.parent_id FROM unnest(%(ending)s::uuid[] || %(going)s::uuid[]) AS e (id)
    CROSS JOIN LATERAL (
        SELECT l.parent_id FROM backroom.live AS l WHERE l.id = e.id OFFSET 0
    ) AS p
    WHERE p.parent_id IS NOT NULL
))
ORDER BY l.id
FOR UPDATE
