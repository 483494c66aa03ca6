SELECT consumed_by, name FROM backroom_event
WHERE run_id = ? AND consumed_at IS NOT NULL
ORDER BY created_at, id
