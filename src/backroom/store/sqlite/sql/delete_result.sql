DELETE FROM backroom_result WHERE run_id = ?
