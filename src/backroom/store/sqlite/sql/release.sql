-- A run whose worker died; after the second time without progress it stands with the suspects.
UPDATE backroom_live SET
    state = 'ready', available_at = ?, worker = NULL,
    priority = CASE WHEN starts < 2 THEN priority % 10 ELSE priority % 10 + 10 END
WHERE id = ?
