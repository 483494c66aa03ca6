DELETE FROM backroom_wait WHERE run_id = ? AND kind = 'retry'
