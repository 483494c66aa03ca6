UPDATE backroom_result SET
    result = CASE WHEN result IS NOT NULL THEN ?2 END,
    error = CASE WHEN error IS NOT NULL THEN ?3 END
WHERE run_id IN (SELECT value FROM json_each(?1))
