DELETE FROM backroom_progress WHERE run_id IN (SELECT value FROM json_each(?))
