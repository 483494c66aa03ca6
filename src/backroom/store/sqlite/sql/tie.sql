-- From now on somebody has to be told when these runs end.
UPDATE backroom_live SET tied = 1 WHERE id IN (SELECT value FROM json_each(?)) AND tied IS NULL
