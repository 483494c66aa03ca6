SELECT r.id::text FROM backroom.run AS r
WHERE r.subject = %(subject)s AND r.id > %(after)s::uuid
ORDER BY r.id LIMIT %(limit)s::int
