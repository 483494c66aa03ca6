UPDATE backroom.queue AS q
SET paused_at = NULL, paused_by = NULL, changed_at = backroom.now_us() WHERE q.name = %(name)s
