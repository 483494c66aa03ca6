INSERT INTO backroom_queue (name, paused_at, paused_by, changed_at) VALUES (?1, ?2, ?3, ?2)
ON CONFLICT (name) DO UPDATE SET
    paused_at = excluded.paused_at, paused_by = excluded.paused_by, changed_at = excluded.changed_at
WHERE paused_at IS NULL
