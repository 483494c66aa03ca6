DELETE FROM backroom_step WHERE run_id = ? AND address IN (SELECT value FROM json_each(?))
