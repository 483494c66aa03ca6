UPDATE backroom.schedule AS s SET retired_at = backroom.now_us(), next_at = NULL
WHERE s.source = 'code' AND s.retired_at IS NULL AND s.flow = ANY (%(flows)s::text[])
  AND s.name <> ALL (%(keep)s::text[])
RETURNING s.name
