-- A page of the runs of one flow.
SELECT * FROM backroom_row
WHERE flow = ?2
  AND (?1 IS NULL OR id < ?1)
  AND (?3 IS NULL OR queue = ?3)
  AND (?4 IS NULL OR parent_id = ?4)
  AND (?5 IS NULL OR state IN (SELECT value FROM json_each(?5)))
ORDER BY id DESC
LIMIT ?6
