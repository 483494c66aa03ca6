-- How runs stand; a scheduled run whose time has come counts as ready.
SELECT
    r.id::text,
    CASE
        WHEN e.state IS NOT NULL THEN e.state
        WHEN l.state = 'scheduled' AND l.available_at <= backroom.now_us() THEN 'ready'
        ELSE l.state
    END
FROM backroom.run AS r
LEFT JOIN backroom.live AS l ON l.id = r.id
LEFT JOIN backroom.result AS e ON e.run_id = r.id
WHERE r.id = ANY (%(ids)s::uuid[])
