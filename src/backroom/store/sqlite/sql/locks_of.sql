-- The requests of a run for locks, with who has each and how many stand before.
SELECT
    k.name, k.address, k.asked_at, k.held_at,
    (SELECT h.run_id FROM backroom_lock AS h WHERE h.name = k.name AND h.held_at IS NOT NULL),
    (SELECT count(*) FROM backroom_lock AS h WHERE h.name = k.name AND h.turn < k.turn)
FROM backroom_lock AS k WHERE k.run_id = ? ORDER BY k.turn
