-- How runs stand; a scheduled run whose time has come counts as ready.
SELECT
    r.id::text,
    CASE
        WHEN e.state IS NOT NULL THEN e.state
        WHEN l.state = 'scheduled' AND l.available_at <= backroom.now_us() THEN 'ready'
        ELSE l.state
    END
FROM backroom.run AS r
LEFT JOIN LATERAL (
    SELECT l.state, l.available_at FROM backroom.live AS l WHERE l.id = r.id OFFSET 0
) AS l ON true
LEFT JOIN LATERAL (
    SELECT e.state FROM backroom.result AS e WHERE e.run_id = r.id OFFSET 0
) AS e ON true
WHERE r.id = ANY (%(ids)s::uuid[])
