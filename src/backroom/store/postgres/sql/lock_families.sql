-- As lock_runs, and with those that end, all below them (they will be cancelled) and their parents
-- (they will be woken): everything in one ascending order.
WITH RECURSIVE ending AS MATERIALIZED (
    SELECT unnest(%(ending)s::uuid[]) AS id
), tree (id) AS (
    SELECT e.id FROM ending AS e
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
    SELECT p.parent_id FROM ending AS e
    CROSS JOIN LATERAL (
        SELECT l.parent_id FROM backroom.live AS l WHERE l.id = e.id OFFSET 0
    ) AS p
    WHERE p.parent_id IS NOT NULL
))
ORDER BY l.id
FOR UPDATE
