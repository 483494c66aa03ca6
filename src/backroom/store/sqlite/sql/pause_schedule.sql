INSERT INTO backroom_pause_schedule (name, paused_by) VALUES (?, ?)
