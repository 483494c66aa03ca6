-- Which of these runs are there, whether they have ended, are erased already, or may still be read.
SELECT
    r.id, r.erased_at IS NOT NULL,
    EXISTS (SELECT 1 FROM backroom_live AS l WHERE l.id = r.id),
    EXISTS (SELECT 1 FROM backroom_wait AS w WHERE w.kind = 'child' AND w.name = r.id)
        OR EXISTS (SELECT 1 FROM backroom_live AS l WHERE l.id = r.parent_id)
FROM json_each(?1) AS g CROSS JOIN backroom_run AS r ON r.id = g.value
