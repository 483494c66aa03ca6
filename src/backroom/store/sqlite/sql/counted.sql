-- How many runs of a queue with rules are performed now.
SELECT count(*) FROM backroom_live INDEXED BY backroom_live_counted
WHERE counted = 1 AND state = 'running' AND queue = ?
