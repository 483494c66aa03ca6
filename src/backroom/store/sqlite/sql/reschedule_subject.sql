SELECT state, available_at, deadline_at, expires_at FROM backroom_live WHERE id = ?
