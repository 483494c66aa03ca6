-- A run that is not to begin; a worker cancels it.
UPDATE backroom_live SET state = 'ready', available_at = ?, cancel_reason = ? WHERE id = ?
