DELETE FROM backroom_step WHERE run_id = ? AND state <> 'done'
