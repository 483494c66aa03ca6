DELETE FROM backroom_breaker WHERE name = ?
