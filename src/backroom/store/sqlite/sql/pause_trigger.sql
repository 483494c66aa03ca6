UPDATE backroom_trigger
SET paused_by = CASE WHEN ?1 IS NOT NULL THEN coalesce(paused_by, ?2) END,
    paused_at = CASE WHEN ?1 IS NOT NULL THEN coalesce(paused_at, ?1) END
WHERE name = ?3
