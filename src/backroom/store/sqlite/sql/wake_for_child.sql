UPDATE backroom_live SET state = 'ready', available_at = min(available_at, ?1)
WHERE id = ?2 AND state = 'waiting'
  AND EXISTS (SELECT 1 FROM backroom_wait WHERE kind = 'child' AND name = ?3 AND run_id = ?2)
