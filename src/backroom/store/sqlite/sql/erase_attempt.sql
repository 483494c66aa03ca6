UPDATE backroom_attempt SET error = ?2
WHERE run_id IN (SELECT value FROM json_each(?1)) AND error IS NOT NULL
