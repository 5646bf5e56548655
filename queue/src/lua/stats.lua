local active = call('HGETALL', P .. 'active')
-- The jobs of the tasks that run, each once.
local records, seen = {}, {}
for i = 1, #active, 2 do
  local uid = active[i]:match('^[^/]*')
  if not seen[uid] then
    seen[uid] = true
    records[#records + 1] = uid
    records[#records + 1] = call('HGET', P .. 'job:' .. uid, 's') or ''
  end
end
return {
  clock(),
  call('HGETALL', P .. 'backlog'),
  active,
  records,
  call('ZRANGE', P .. 'leases', 0, -1, 'WITHSCORES'),
  call('HGETALL', P .. 'workers'),
}
