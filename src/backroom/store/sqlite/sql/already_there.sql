-- Which of these runs wait for something that has come already.
SELECT w.run_id FROM backroom_wait AS w
WHERE w.run_id IN (SELECT value FROM json_each(?1)) AND (
    (w.kind = 'event' AND EXISTS (
        SELECT 1 FROM backroom_event AS e
        WHERE e.run_id = w.run_id AND e.name = w.name AND e.consumed_at IS NULL))
    OR (w.kind = 'child' AND EXISTS (SELECT 1 FROM backroom_result AS e WHERE e.run_id = w.name))
    OR (w.kind = 'children' AND NOT EXISTS (
        SELECT 1 FROM backroom_live AS l WHERE l.id BETWEEN substr(w.name, 1, 36) AND substr(w.name, 38)))
    OR (w.kind = 'breaker' AND NOT EXISTS (
        SELECT 1 FROM backroom_breaker AS b WHERE b.name = w.name AND b.open_until IS NOT NULL))
    OR (w.kind = 'lock' AND NOT EXISTS (
        SELECT 1 FROM backroom_lock AS k
        WHERE k.run_id = w.run_id AND k.address = w.address AND k.held_at IS NULL))
)
