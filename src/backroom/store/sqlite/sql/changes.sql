-- As bytes: a file may hold texts that are no UTF-8, and one must not keep the others waiting.
SELECT id, trigger_id, at, CAST(key AS BLOB), CAST(old AS BLOB), CAST(new AS BLOB), cause FROM backroom_change ORDER BY id LIMIT ?
