UPDATE backroom_event SET consumed_at = ?, consumed_by = ? WHERE id = ? AND consumed_at IS NULL
