-- A page of runs, newest first; ids rise with time. A filter that is NULL lets all pass.
SELECT * FROM backroom_row
WHERE (?1 IS NULL OR id < ?1)
  AND (?2 IS NULL OR flow = ?2)
  AND (?3 IS NULL OR queue = ?3)
  AND (?4 IS NULL OR parent_id = ?4)
  AND (?5 IS NULL OR state IN (SELECT value FROM json_each(?5)))
ORDER BY id DESC
LIMIT ?6
