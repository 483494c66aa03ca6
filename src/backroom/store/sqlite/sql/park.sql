UPDATE backroom_live SET state = 'waiting', starts = 0, worker = NULL, available_at = ? WHERE id = ?
