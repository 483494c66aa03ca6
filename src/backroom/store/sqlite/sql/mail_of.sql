SELECT id, run_id, name, payload, created_at FROM backroom_event
WHERE run_id IN (SELECT value FROM json_each(?)) AND consumed_at IS NULL
ORDER BY created_at, id
