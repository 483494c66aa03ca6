UPDATE backroom_live SET state = 'ready', available_at = min(available_at, ?)
WHERE id = ? AND state = 'waiting'
  AND EXISTS (SELECT 1 FROM backroom_wait WHERE run_id = backroom_live.id AND kind = 'event' AND name = ?)
