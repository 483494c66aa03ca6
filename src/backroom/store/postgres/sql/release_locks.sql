-- Gives back what these requests have taken, if the attempt still holds its run.
DELETE FROM backroom.lock AS k
USING unnest(%(ids)s::uuid[], %(attempts)s::int[], %(addresses)s::text[]) AS g (id, attempt, address)
CROSS JOIN LATERAL (
    SELECT 1 FROM backroom.live AS l
    WHERE l.id = g.id AND l.attempt = g.attempt AND l.state = 'running' OFFSET 0
) AS held
CROSS JOIN LATERAL (
    SELECT o.ctid AS place FROM backroom.lock AS o
    WHERE o.run_id = g.id AND o.address = g.address OFFSET 0
) AS mine
WHERE k.ctid = mine.place
