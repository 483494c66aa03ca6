-- What a program has declared, kept for when an operator's rules are lifted.
UPDATE backroom.queue AS q SET declared = %(declared)s
WHERE q.name = %(name)s AND q.declared IS DISTINCT FROM %(declared)s
