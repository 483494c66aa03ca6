UPDATE backroom_live SET state = ?, available_at = ?, deadline_at = ?, expires_at = ? WHERE id = ?
