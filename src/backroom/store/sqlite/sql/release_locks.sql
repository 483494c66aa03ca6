DELETE FROM backroom_lock WHERE run_id = ? AND address = ?
