-- The fence: the rows are locked in one statement in ascending order, so that batches can't wait
-- for one another in a circle, and no later claim can slip between this look and the writes.
SELECT l.id::text, l.attempt, l.state FROM backroom.live AS l
WHERE l.id = ANY (%(ids)s::uuid[])
ORDER BY l.id
FOR UPDATE
