-- A run that has just been stored waits for others before it begins.
UPDATE backroom_live SET state = 'waiting', available_at = 9223372036854775807 WHERE id = ?
