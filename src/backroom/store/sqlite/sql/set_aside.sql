UPDATE backroom_live
SET state = 'needs_attention', available_at = 9223372036854775807, priority = priority % 10,
    worker = NULL, error = ?
WHERE id = ?
