UPDATE backroom_queue SET full_at = ? WHERE name = ?
