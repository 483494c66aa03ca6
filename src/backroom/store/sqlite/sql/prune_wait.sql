DELETE FROM backroom_wait WHERE run_id IN (SELECT value FROM json_each(?))
