UPDATE backroom.event AS e SET consumed_at = backroom.now_us(), consumed_by = g.address
FROM unnest(
    %(ids)s::text[], %(run_ids)s::uuid[], %(attempts)s::int[], %(addresses)s::text[]
) AS g (id, run_id, attempt, address)
CROSS JOIN LATERAL (
    SELECT 1 FROM backroom.live AS l
    WHERE l.id = g.run_id AND l.attempt = g.attempt AND l.state = 'running' OFFSET 0
) AS held
CROSS JOIN LATERAL (
    SELECT u.ctid AS place FROM backroom.event AS u
    WHERE u.id = g.id AND u.run_id = g.run_id AND u.consumed_at IS NULL OFFSET 0
) AS unread
WHERE e.ctid = unread.place
