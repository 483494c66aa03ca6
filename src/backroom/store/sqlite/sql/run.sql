SELECT * FROM backroom_row WHERE id = ?
