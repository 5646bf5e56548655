-- Which run of the server it is.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: none.
-- Returns the run of the server that was stored last, and the present one.
return { call('GET', P .. 'epoch'), call('INFO', 'server'):match('run_id:(%x+)') }
