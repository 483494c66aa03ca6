-- A wait that exists keeps its time.
INSERT INTO backroom.wait (run_id, address, kind, name, due_at)
SELECT
    g.run_id, g.address, g.kind, g.name,
    coalesce(g.due_at, backroom.now_us() + g.delay_us, 9223372036854775807)
FROM unnest(
    %(run_ids)s::uuid[], %(attempts)s::int[], %(addresses)s::text[], %(kinds)s::text[],
    %(names)s::text[], %(delays)s::bigint[], %(dues)s::bigint[]
) AS g (run_id, attempt, address, kind, name, delay_us, due_at)
CROSS JOIN LATERAL (
    SELECT 1 FROM backroom.live AS l
    WHERE l.id = g.run_id AND l.attempt = g.attempt AND l.state = 'running' OFFSET 0
) AS held
ON CONFLICT DO NOTHING
