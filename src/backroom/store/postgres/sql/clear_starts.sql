UPDATE backroom.live AS l SET starts = 1
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS g (id, attempt)
WHERE l.id = g.id AND l.attempt = g.attempt AND l.state = 'running' AND l.starts <> 1
