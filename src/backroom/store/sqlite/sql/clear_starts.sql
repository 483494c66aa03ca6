UPDATE backroom_live SET starts = 1 WHERE id = ?
