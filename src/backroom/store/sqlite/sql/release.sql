UPDATE backroom_live SET state = 'ready', available_at = ?, worker = NULL WHERE id = ?
