DELETE FROM backroom_run WHERE id IN (SELECT value FROM json_each(?))
