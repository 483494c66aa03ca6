-- Whether exactly this checkpoint stands already: then its save is repeated.
SELECT 1 FROM backroom_step
WHERE run_id = ? AND address = ? AND attempt = ? AND tries = ? AND state = ?
