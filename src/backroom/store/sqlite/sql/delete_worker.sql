DELETE FROM backroom_worker WHERE id = ?
