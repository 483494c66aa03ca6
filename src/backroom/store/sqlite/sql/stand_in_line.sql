-- A request for a lock: held at once if nobody has it or waits for it. Asked again, it keeps its place.
INSERT INTO backroom_lock (name, run_id, address, path, asked_at, held_at)
SELECT ?1, ?2, ?3, ?4, ?5, CASE WHEN NOT EXISTS (SELECT 1 FROM backroom_lock AS k WHERE k.name = ?1) THEN ?5 END
WHERE NOT EXISTS (
    SELECT 1 FROM backroom_lock AS k WHERE k.run_id = ?2 AND k.address = ?3 AND k.name = ?1
)
