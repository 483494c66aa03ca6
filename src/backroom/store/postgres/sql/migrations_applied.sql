SELECT m.number, m.name, m.checksum FROM backroom.migration AS m ORDER BY m.number
