UPDATE backroom.live AS l
SET state = 'ready', available_at = backroom.now_us(), starts = greatest(l.starts - 1, 0),
    worker = NULL
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS g (id, attempt)
CROSS JOIN LATERAL (
    SELECT h.ctid AS place FROM backroom.live AS h
    WHERE h.id = g.id AND h.attempt = g.attempt AND h.state = 'running' OFFSET 0
) AS held
WHERE l.ctid = held.place
