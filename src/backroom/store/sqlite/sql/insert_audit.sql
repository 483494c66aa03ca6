INSERT OR IGNORE INTO backroom_audit (id, at, act, by, what) VALUES (?, ?, ?, ?, ?)
