UPDATE backroom_run SET
    input = ?2, key = NULL, partition = NULL, subject = NULL, erased_at = ?3
WHERE id IN (SELECT value FROM json_each(?1))
