-- The hot rows of these runs that somebody performs, for the fence.
SELECT id, attempt, starts, parent_id, worker, started_at, claimed_at, deadline_at
FROM backroom_live
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'running'
