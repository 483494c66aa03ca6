SELECT l.queue, l.partition, l.expires_at, l.claimed_at, l.attempt, l.failures
FROM backroom.live AS l WHERE l.id = %(id)s::uuid
