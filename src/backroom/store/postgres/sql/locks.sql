-- The locks that are held, by name, with how many wait.
SELECT
    k.name, k.run_id::text, k.held_at,
    (SELECT count(*) FROM backroom.lock AS o WHERE o.name = k.name AND o.held_at IS NULL)
FROM backroom.lock AS k WHERE k.held_at IS NOT NULL ORDER BY k.name LIMIT %(limit)s::int
