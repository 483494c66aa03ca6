-- Those of these runs that are in a final state.
SELECT * FROM backroom_row
WHERE id IN (SELECT run_id FROM backroom_result WHERE run_id IN (SELECT value FROM json_each(?)))
ORDER BY id
