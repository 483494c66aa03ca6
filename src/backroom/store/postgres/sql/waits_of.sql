SELECT w.run_id::text, w.address, w.kind, w.name, w.due_at
FROM backroom.wait AS w WHERE w.run_id = ANY (%(ids)s::uuid[])
ORDER BY w.run_id, w.address COLLATE "C"
