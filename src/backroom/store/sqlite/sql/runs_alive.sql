-- A page of runs in states that aren't final: a walk of the hot rows, however many have ended.
SELECT * FROM backroom_row WHERE id IN (
    SELECT id FROM backroom_live
    WHERE (?1 IS NULL OR id < ?1)
      AND (?2 IS NULL OR flow = ?2)
      AND (?3 IS NULL OR queue = ?3)
      AND (?4 IS NULL OR parent_id = ?4)
      AND CASE
          WHEN state = 'scheduled' AND available_at <= (SELECT now_us FROM backroom_clock) THEN 'ready'
          ELSE state
      END IN (SELECT value FROM json_each(?5))
    ORDER BY id DESC
    LIMIT ?6
)
ORDER BY id DESC
