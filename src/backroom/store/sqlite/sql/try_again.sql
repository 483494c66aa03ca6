-- ?2: now, for a run that was asked to cancel meanwhile; it has to hear of it.
UPDATE backroom_live SET
    state = 'scheduled', failures = failures + 1, starts = 0,
    priority = priority % 10, worker = NULL,
    available_at = CASE WHEN cancel_reason IS NULL THEN ?1 ELSE ?2 END
WHERE id = ?3
