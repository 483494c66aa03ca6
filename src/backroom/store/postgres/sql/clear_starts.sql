UPDATE backroom.live AS l SET starts = 1, priority = l.priority %% 10
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS g (id, attempt)
CROSS JOIN LATERAL (
    SELECT h.ctid AS place FROM backroom.live AS h
    WHERE h.id = g.id AND h.attempt = g.attempt AND h.state = 'running' AND h.starts <> 1 OFFSET 0
) AS held
WHERE l.ctid = held.place
