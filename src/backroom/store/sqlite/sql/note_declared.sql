-- What a program has declared, kept for when an operator's rules are lifted.
INSERT INTO backroom_queue (name, declared, changed_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET declared = excluded.declared
