-- Wakes the parents of these runs, which are part of windows and have just ended, where none of the
-- parent's window is live any more.
UPDATE backroom_live SET state = 'ready', available_at = min(available_at, ?1)
WHERE state = 'waiting' AND id IN (
    SELECT w.run_id FROM json_each(?2)
    CROSS JOIN backroom_run AS r ON r.id = value
    CROSS JOIN backroom_wait AS w ON w.run_id = r.parent_id AND w.kind = 'children'
    WHERE NOT EXISTS (
        SELECT 1 FROM backroom_live AS l WHERE l.id BETWEEN substr(w.name, 1, 36) AND substr(w.name, 38)
    )
)
