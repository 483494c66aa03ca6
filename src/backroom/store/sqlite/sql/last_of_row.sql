-- The last run in the line of a row, and what it was given if it hasn't begun.
SELECT l.id, l.turn, CASE WHEN l.started_at IS NULL AND l.state <> 'running' THEN r.input END, r.cause_id
FROM backroom_live AS l JOIN backroom_run AS r ON r.id = l.id
WHERE l.of_row = ? ORDER BY l.turn DESC LIMIT 1
