SELECT run_id, address, kind, name, due_at FROM backroom_wait
WHERE run_id IN (SELECT value FROM json_each(?)) ORDER BY run_id, address
