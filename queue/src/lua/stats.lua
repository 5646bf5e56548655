return {
  clock(),
  call('HGETALL', P .. 'backlog'),
  call('HGETALL', P .. 'active'),
  call('ZRANGE', P .. 'leases', 0, -1, 'WITHSCORES'),
  call('HGETALL', P .. 'workers'),
}
