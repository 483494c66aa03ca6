-- Who wrote the checkpoint at an address, and in which state it is.
SELECT state, attempt FROM backroom_step WHERE run_id = ? AND address = ?
