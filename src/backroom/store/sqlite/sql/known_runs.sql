-- Which of these ids are stored already: a repeated start.
SELECT id FROM backroom_run WHERE id IN (SELECT value FROM json_each(?))
