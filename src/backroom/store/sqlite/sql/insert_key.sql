INSERT INTO backroom_key (flow, key, run_id) VALUES (?, ?, ?)
