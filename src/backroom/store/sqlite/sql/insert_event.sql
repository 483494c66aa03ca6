INSERT INTO backroom_event (id, run_id, name, payload, created_at) VALUES (?, ?, ?, ?, ?)
