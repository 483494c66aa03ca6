UPDATE backroom_live
SET state = 'ready', available_at = ?, starts = max(starts - 1, 0), worker = NULL
WHERE state = 'running'
