-- Leaves only the waits given, of each run that is about to park.
DELETE FROM backroom.wait AS w
USING unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS p (id, attempt)
JOIN backroom.live AS l ON l.id = p.id AND l.attempt = p.attempt AND l.state = 'running'
WHERE w.run_id = p.id AND NOT EXISTS (
    SELECT 1 FROM unnest(%(run_ids)s::uuid[], %(addresses)s::text[]) AS g (run_id, address)
    WHERE g.run_id = w.run_id AND g.address = w.address
)
