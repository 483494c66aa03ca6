-- The runs that would wait for each other if this request waited; no row if it wouldn't wait for itself. From each
-- request that waits to those before it in its line, and from each of these to what the run, in the
-- place where it has it or below, waits for itself.
WITH RECURSIVE stuck (turn, name, run_id) AS (
    SELECT k.turn, k.name, k.run_id FROM backroom_lock AS k
    WHERE k.run_id = ?1 AND k.address = ?2 AND k.held_at IS NULL
    UNION
    SELECT o.turn, o.name, o.run_id
    FROM stuck AS s
    CROSS JOIN backroom_lock AS k ON k.name = s.name AND k.turn < s.turn
    CROSS JOIN backroom_lock AS o ON o.run_id = k.run_id AND o.held_at IS NULL
        AND substr(o.path, 1, length(k.path)) = k.path
)
SELECT DISTINCT w.run_id FROM stuck AS w
WHERE EXISTS (
    SELECT 1 FROM stuck AS s CROSS JOIN backroom_lock AS k ON k.name = s.name AND k.turn < s.turn
    WHERE k.run_id = ?1 AND substr(?3, 1, length(k.path)) = k.path
)
