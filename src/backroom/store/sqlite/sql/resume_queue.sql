UPDATE backroom_queue SET paused_at = NULL, paused_by = NULL, changed_at = ? WHERE name = ?
