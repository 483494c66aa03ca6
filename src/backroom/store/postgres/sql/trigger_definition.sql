SELECT t.id, t.definition FROM backroom.trigger AS t WHERE t.name = %(name)s
