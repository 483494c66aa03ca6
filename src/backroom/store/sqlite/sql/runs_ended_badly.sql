-- A page of runs that ended in this one state, which isn't success: a walk of those that did.
SELECT * FROM backroom_row WHERE id IN (
    SELECT e.run_id
    FROM backroom_result AS e INDEXED BY backroom_result_bad
    CROSS JOIN backroom_run AS r ON r.id = e.run_id
    WHERE e.state <> 'succeeded'
      AND e.state = ?5
      AND (?1 IS NULL OR e.run_id < ?1)
      AND (?2 IS NULL OR r.flow = ?2)
      AND (?3 IS NULL OR r.queue = ?3)
      AND (?4 IS NULL OR r.parent_id = ?4)
    ORDER BY e.run_id DESC
    LIMIT ?6
)
ORDER BY id DESC
