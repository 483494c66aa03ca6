UPDATE backroom_trigger
SET started = started + ?, merged = merged + ?, dropped = dropped + ? WHERE id = ?
