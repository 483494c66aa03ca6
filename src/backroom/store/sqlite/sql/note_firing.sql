INSERT INTO backroom_firing (trigger_id, outcome, cause_id, count, first_at, last_at, key, path)
VALUES (?1, ?2, ?3, 1, ?4, ?4, ?5, ?6)
ON CONFLICT (trigger_id, cause_id, outcome) DO UPDATE SET
    count = count + 1, last_at = excluded.last_at, key = excluded.key, path = excluded.path
