SELECT e.consumed_by, e.name FROM backroom.event AS e
WHERE e.run_id = %(id)s::uuid AND e.consumed_at IS NOT NULL
ORDER BY e.created_at, e.id COLLATE "C"
