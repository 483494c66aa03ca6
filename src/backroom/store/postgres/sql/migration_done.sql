INSERT INTO backroom.migration (number, name, checksum) VALUES (%(number)s, %(name)s, %(checksum)s)
