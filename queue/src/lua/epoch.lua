return { call('GET', P .. 'epoch'), call('INFO', 'server'):match('run_id:(%x+)') }
