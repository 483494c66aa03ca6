-- Leaves only the waits given, of each run that is about to park.
DELETE FROM backroom.wait AS w
USING unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS g (id, attempt)
CROSS JOIN LATERAL (
    SELECT 1 FROM backroom.live AS l
    WHERE l.id = g.id AND l.attempt = g.attempt AND l.state = 'running' OFFSET 0
) AS held
CROSS JOIN LATERAL (
    SELECT o.ctid AS place, o.run_id, o.address FROM backroom.wait AS o
    WHERE o.run_id = g.id OFFSET 0
) AS old
WHERE w.ctid = old.place AND ROW (old.run_id, old.address) NOT IN (
    SELECT k.run_id, k.address
    FROM unnest(%(run_ids)s::uuid[], %(addresses)s::text[]) AS k (run_id, address)
)
