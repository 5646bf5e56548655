-- Returns the run of the server that was stored last, and the present one.
return { call('GET', P .. 'epoch'), call('INFO', 'server'):match('run_id:(%x+)') }
