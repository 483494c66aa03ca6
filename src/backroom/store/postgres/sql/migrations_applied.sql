SELECT m.number, m.checksum FROM backroom.migration AS m ORDER BY m.number
