-- A wait that exists keeps its time.
INSERT INTO backroom_wait (run_id, address, kind, name, due_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
