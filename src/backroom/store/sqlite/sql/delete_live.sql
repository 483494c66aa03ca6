DELETE FROM backroom_live WHERE id = ?
