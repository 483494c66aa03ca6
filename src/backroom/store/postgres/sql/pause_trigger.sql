UPDATE backroom.trigger AS t
SET paused_at = CASE WHEN NOT %(on)s::boolean THEN coalesce(t.paused_at, backroom.now_us()) END,
    paused_by = CASE WHEN NOT %(on)s::boolean THEN coalesce(t.paused_by, %(by)s) END
WHERE t.name = %(name)s
RETURNING t.id
