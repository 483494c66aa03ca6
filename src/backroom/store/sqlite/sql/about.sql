SELECT id FROM backroom_run WHERE subject = ? AND id > ? ORDER BY id LIMIT ?
