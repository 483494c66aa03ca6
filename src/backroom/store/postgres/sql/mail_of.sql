SELECT e.id, e.run_id::text, e.name, e.payload, e.created_at
FROM backroom.event AS e WHERE e.run_id = ANY (%(ids)s::uuid[]) AND e.consumed_at IS NULL
ORDER BY e.created_at, e.id COLLATE "C"
