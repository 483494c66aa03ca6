UPDATE backroom_worker SET lease_until = ? WHERE id IN (SELECT value FROM json_each(?)) RETURNING id
