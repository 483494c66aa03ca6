-- How the children of a run stand whose ids lie between these two.
SELECT r.id::text, coalesce(l.state, e.state)
FROM backroom.run AS r
LEFT JOIN LATERAL (SELECT l.state FROM backroom.live AS l WHERE l.id = r.id OFFSET 0) AS l ON true
LEFT JOIN LATERAL (
    SELECT e.state FROM backroom.result AS e WHERE e.run_id = r.id OFFSET 0
) AS e ON true
WHERE r.id BETWEEN %(first)s::uuid AND %(last)s::uuid AND r.parent_id = %(parent)s::uuid
ORDER BY r.id
