-- As bytes: a file may hold texts that are no UTF-8, and one must not keep the others waiting.
-- Changes of triggers that were paused and go on now. They are older than all that came after.
SELECT h.id, h.trigger_id, h.at, CAST(h.key AS BLOB), CAST(h.old AS BLOB), CAST(h.new AS BLOB), h.cause
FROM backroom_trigger AS t CROSS JOIN backroom_held AS h ON h.trigger_id = t.id
WHERE t.paused_at IS NULL
ORDER BY h.id LIMIT ?
