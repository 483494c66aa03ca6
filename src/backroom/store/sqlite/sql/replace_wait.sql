INSERT OR REPLACE INTO backroom_wait (run_id, address, kind, name, due_at) VALUES (?, ?, ?, ?, ?)
