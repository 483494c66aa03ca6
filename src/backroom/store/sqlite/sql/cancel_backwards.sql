-- A run with undos is not ended but woken: a worker claims it and goes backwards.
UPDATE backroom_live SET
    cancel_reason = coalesce(cancel_reason, ?1), state = 'ready', available_at = min(available_at, ?2)
WHERE id = ?3
