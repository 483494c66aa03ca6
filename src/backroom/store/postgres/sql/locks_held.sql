-- Which requests of these runs have all their locks.
SELECT DISTINCT k.run_id::text, k.address FROM backroom.lock AS k
WHERE k.run_id = ANY (%(ids)s::uuid[]) AND NOT EXISTS (
    SELECT 1 FROM backroom.lock AS o WHERE o.run_id = k.run_id AND o.address = k.address AND o.held_at IS NULL
)
