-- As lock_runs, and with those that end, all below them (they will be cancelled) and their parents
-- (they will be woken): everything in one ascending order.
WITH RECURSIVE tree (id) AS (
    SELECT unnest(%(ending)s::uuid[])
    UNION
    SELECT c.id FROM tree AS t JOIN backroom.live AS c ON c.parent_id = t.id
), concerned (id) AS (
    SELECT unnest(%(ids)s::uuid[])
    UNION
    SELECT t.id FROM tree AS t
    UNION
    SELECT e.parent_id FROM unnest(%(ending)s::uuid[]) AS g (id)
    JOIN backroom.live AS e ON e.id = g.id
    WHERE e.parent_id IS NOT NULL
)
SELECT l.id::text, l.attempt, l.state FROM backroom.live AS l
WHERE l.id IN (SELECT c.id FROM concerned AS c)
ORDER BY l.id
FOR UPDATE OF l
