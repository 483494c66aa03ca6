-- An address may hold a key: charge[order 7]. No name of a step begins with a bracket.
UPDATE backroom_step SET
    address = CASE WHEN instr(backroom_step.address, '[') THEN '[erased]' || n.number
        ELSE backroom_step.address END,
    result = CASE WHEN kind = 'start' THEN result WHEN result IS NOT NULL THEN ?2 END,
    error = CASE WHEN error IS NOT NULL THEN ?3 END,
    fingerprint = NULL
FROM (
    SELECT s.run_id, s.address, row_number() OVER (PARTITION BY s.run_id ORDER BY s.address) AS number
    FROM json_each(?1) AS g CROSS JOIN backroom_step AS s ON s.run_id = g.value
) AS n
WHERE backroom_step.run_id = n.run_id AND backroom_step.address = n.address
