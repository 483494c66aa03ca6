-- For this transaction only: behind a pooler, the next one of this connection may be anybody's.
-- A plan that was made while a table was empty must not become a scan of it once it is full, so
-- scans are out of the question, and our statements force a look-up a row in two more ways: what
-- stands in LATERAL (... OFFSET 0) or EXISTS (... OFFSET 0) is not turned round into a join, and a
-- row that was looked up is changed by its ctid, which a lock holds still.
-- Nothing is left for a plan to find out from values, so one plan serves them all: to plan a start
-- anew took three times as long as to perform it.
SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
    set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('lock_timeout', %(lock_timeout)s, true)
