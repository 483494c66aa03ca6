INSERT INTO backroom_resume_schedule (name) VALUES (?)
