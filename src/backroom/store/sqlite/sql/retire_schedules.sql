UPDATE backroom_schedule SET retired_at = ?1, next_at = NULL
WHERE source = 'code' AND retired_at IS NULL AND flow IN (SELECT value FROM json_each(?2))
  AND name NOT IN (SELECT value FROM json_each(?3))
RETURNING name
