-- Removes the checkpoints of a run whose addresses lie between these two, but for those that an undo
-- will ask for.
DELETE FROM backroom_step
WHERE run_id = ?1 AND address >= ?2 AND address < ?3 AND NOT EXISTS (
    SELECT 1 FROM backroom_step AS u
    WHERE u.run_id = ?1 AND u.address = 'undo ' || backroom_step.address
)
