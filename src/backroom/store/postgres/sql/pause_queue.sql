INSERT INTO backroom.queue AS q (name, paused_at, paused_by, changed_at)
VALUES (%(name)s, backroom.now_us(), %(by)s, backroom.now_us())
ON CONFLICT (name) DO UPDATE SET
    paused_at = excluded.paused_at, paused_by = excluded.paused_by, changed_at = excluded.changed_at
WHERE q.paused_at IS NULL
