DELETE FROM backroom_live WHERE id IN (SELECT value FROM json_each(?))
