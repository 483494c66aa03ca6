-- Answers a row if the run has at least :limit + 1 unread events; pass the limit minus one.
SELECT 1 FROM backroom_event WHERE run_id = ? AND consumed_at IS NULL LIMIT 1 OFFSET ?
