INSERT INTO backroom_remove_schedule (name) VALUES (?)
