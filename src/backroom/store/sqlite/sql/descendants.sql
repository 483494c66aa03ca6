-- The live rows of these runs and of all attached runs below them.
WITH RECURSIVE family (id) AS (
    SELECT value FROM json_each(?)
    UNION
    SELECT l.id FROM family AS f JOIN backroom_live AS l ON l.parent_id = f.id
)
SELECT l.id, l.state, l.attempt, l.worker, l.started_at, l.cancel_reason,
    EXISTS (SELECT 1 FROM backroom_step AS s WHERE s.run_id = l.id AND s.kind = 'undo'),
    EXISTS (SELECT 1 FROM backroom_step AS s WHERE s.run_id = l.id AND s.address = 'rollback')
    AND NOT EXISTS (
        SELECT 1 FROM backroom_step AS s
        WHERE s.run_id = l.id AND s.address = 'otherwise' AND s.name = 'begun'
    )
FROM family AS f JOIN backroom_live AS l ON l.id = f.id
