SELECT 1 FROM backroom_event WHERE id = ?
