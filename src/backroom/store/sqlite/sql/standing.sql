-- How the children of a run stand whose ids lie between these two.
SELECT r.id, coalesce(l.state, e.state)
FROM backroom_run AS r
LEFT JOIN backroom_live AS l ON l.id = r.id
LEFT JOIN backroom_result AS e ON e.run_id = r.id
WHERE r.id BETWEEN ?1 AND ?2 AND r.parent_id = ?3
ORDER BY r.id
