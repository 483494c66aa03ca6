UPDATE backroom.event AS e SET consumed_at = backroom.now_us(), consumed_by = g.address
FROM unnest(
    %(ids)s::text[], %(run_ids)s::uuid[], %(attempts)s::int[], %(addresses)s::text[]
) AS g (id, run_id, attempt, address)
JOIN backroom.live AS l ON l.id = g.run_id AND l.attempt = g.attempt AND l.state = 'running'
WHERE e.id = g.id AND e.run_id = g.run_id AND e.consumed_at IS NULL
