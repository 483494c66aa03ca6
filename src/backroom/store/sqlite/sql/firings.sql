SELECT t.name, f.outcome, f.cause_id, f.count, f.first_at, f.last_at, f.key, f.path
FROM backroom_firing AS f JOIN backroom_trigger AS t ON t.id = f.trigger_id
WHERE t.name = ? ORDER BY f.last_at DESC LIMIT ?
