SELECT l.id::text, l.cancel_reason FROM backroom.live AS l
WHERE l.worker = %(worker)s AND l.state = 'running' AND l.cancel_reason IS NOT NULL
ORDER BY l.id
