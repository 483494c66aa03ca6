-- How the runs stand that another one is to begin after: their end, or none while they live.
SELECT g.value, l.id IS NOT NULL, e.state
FROM json_each(?) AS g
LEFT JOIN backroom_live AS l ON l.id = g.value
LEFT JOIN backroom_result AS e ON e.run_id = g.value
ORDER BY g.key
