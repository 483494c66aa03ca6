DELETE FROM backroom_attempt WHERE run_id IN (SELECT value FROM json_each(?))
