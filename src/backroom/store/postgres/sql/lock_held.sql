-- What a worker holds, locked; the statement after this one releases it and sees what others
-- committed until now.
SELECT l.id FROM backroom.live AS l
WHERE l.worker = %(worker)s AND l.state = 'running' ORDER BY l.id FOR UPDATE
