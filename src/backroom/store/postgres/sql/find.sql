SELECT k.run_id::text FROM backroom.key AS k WHERE k.flow = %(flow)s AND k.key = %(key)s
