-- Which requests of these runs have all their locks.
SELECT DISTINCT k.run_id, k.address FROM backroom_lock AS k
WHERE k.run_id IN (SELECT value FROM json_each(?)) AND NOT EXISTS (
    SELECT 1 FROM backroom_lock AS o WHERE o.run_id = k.run_id AND o.address = k.address AND o.held_at IS NULL
)
