DELETE FROM backroom_result WHERE run_id IN (SELECT value FROM json_each(?))
