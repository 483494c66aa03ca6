-- Runs that may have ended before ?3, in the order of their ids from ?1 to ?2 (ids rise with time,
-- and no run ends before it is made): whether it has, and whether it is needed still.
SELECT
    e.run_id,
    e.finished_at < ?3,
    EXISTS (SELECT 1 FROM backroom_wait AS w WHERE w.kind = 'child' AND w.name = e.run_id)
        OR EXISTS (SELECT 1 FROM backroom_live AS l WHERE l.id IN (r.parent_id, r.cause_id))
        OR EXISTS (SELECT 1 FROM backroom_live AS l WHERE l.parent_id = e.run_id)
        OR (r.key IS NOT NULL AND e.finished_at >= ?4)
FROM backroom_result AS e CROSS JOIN backroom_run AS r ON r.id = e.run_id
WHERE e.run_id > ?1 AND e.run_id < ?2
ORDER BY e.run_id
LIMIT ?5
