SELECT outcome FROM backroom_attempt WHERE run_id = ? AND attempt = ?
