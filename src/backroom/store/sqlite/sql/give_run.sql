UPDATE backroom_run SET input = ? WHERE id = ?
