-- Numbers of the inbox begin anew when it is empty; here they go on.
INSERT INTO backroom_held (trigger_id, at, key, old, new, cause)
SELECT trigger_id, at, key, old, new, cause FROM backroom_change
WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id
