-- Removes the checkpoints whose addresses begin so, but for those that an undo will ask for.
DELETE FROM backroom.step AS s
USING unnest(%(ids)s::uuid[], %(attempts)s::int[], %(prefixes)s::text[]) AS g (id, attempt, prefix)
CROSS JOIN LATERAL (
    SELECT 1 FROM backroom.live AS l
    WHERE l.id = g.id AND l.attempt = g.attempt AND l.state = 'running' OFFSET 0
) AS held
CROSS JOIN LATERAL (
    SELECT o.ctid AS place FROM backroom.step AS o
    WHERE o.run_id = g.id AND starts_with(o.address, g.prefix) AND NOT EXISTS (
        SELECT 1 FROM backroom.step AS u
        WHERE u.run_id = g.id AND u.address = 'undo ' || o.address OFFSET 0
    ) OFFSET 0
) AS old
WHERE s.ctid = old.place
