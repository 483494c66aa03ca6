-- ?7: slots were decided; without any it moves only if it still stands where it was looked at.
UPDATE backroom_schedule SET
    place = CASE WHEN place IS NULL OR ?3 > place THEN ?3 ELSE place END, next_at = ?4,
    last_run = coalesce(?5, last_run), error = ?6
WHERE name = ?1 AND series = ?2 AND (?7 OR place IS ?8)
