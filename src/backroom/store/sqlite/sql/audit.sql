SELECT id, at, act, by, what FROM backroom_audit ORDER BY id DESC LIMIT ?
