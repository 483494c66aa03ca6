SELECT id FROM backroom_live WHERE parent_id IN (SELECT value FROM json_each(?))
