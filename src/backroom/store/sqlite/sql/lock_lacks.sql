-- Whether a request still lacks one of its locks.
SELECT 1 FROM backroom_lock AS k WHERE k.run_id = ?1 AND k.address = ?2 AND k.held_at IS NULL LIMIT 1
