UPDATE backroom.live AS l
SET state = 'ready', available_at = backroom.now_us(), starts = greatest(l.starts - 1, 0),
    worker = NULL
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS g (id, attempt)
WHERE l.id = g.id AND l.attempt = g.attempt AND l.state = 'running'
