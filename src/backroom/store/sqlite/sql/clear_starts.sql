UPDATE backroom_live SET starts = 1, priority = priority % 10 WHERE id = ?
