DELETE FROM backroom_held WHERE id IN (SELECT value FROM json_each(?))
