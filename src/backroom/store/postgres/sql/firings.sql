SELECT t.name, f.outcome, f.cause_id::text, f.count, f.first_at, f.last_at, f.key, f.path
FROM backroom.firing AS f JOIN backroom.trigger AS t ON t.id = f.trigger_id
WHERE t.name = %(trigger)s ORDER BY f.last_at DESC LIMIT %(limit)s
