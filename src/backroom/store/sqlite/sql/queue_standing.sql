SELECT queue, partition, expires_at, claimed_at, attempt, failures FROM backroom_live WHERE id = ?
