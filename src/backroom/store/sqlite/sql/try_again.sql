UPDATE backroom_live
SET state = 'scheduled', available_at = ?, failures = failures + 1, starts = 0, worker = NULL
WHERE id = ?
