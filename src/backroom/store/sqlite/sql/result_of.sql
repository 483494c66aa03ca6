SELECT state, attempt FROM backroom_result WHERE run_id = ?
