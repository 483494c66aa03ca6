DELETE FROM backroom_step WHERE run_id IN (SELECT value FROM json_each(?))
