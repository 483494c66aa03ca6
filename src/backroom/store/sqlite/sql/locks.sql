-- The locks that are held, by name, with how many wait.
SELECT
    k.name, k.run_id, k.held_at,
    (SELECT count(*) FROM backroom_lock AS o WHERE o.name = k.name AND o.held_at IS NULL)
FROM backroom_lock AS k WHERE k.held_at IS NOT NULL ORDER BY k.name LIMIT ?
