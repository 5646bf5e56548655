local uid, record, payload, flags = unpack(ARGV)
local job = P .. 'job:' .. uid
if call('EXISTS', job) == 1 then
  local known = call('HGET', job, 'f') or ''
  if flags:find('r') and not known:find('r') then
    call('HSET', job, 'f', known .. 'r')
  end
  return 0
end
if flags == '' then
  call('HSET', job, 's', record, 'p', payload)
else
  call('HSET', job, 's', record, 'p', payload, 'f', flags)
end
call('SADD', P .. 'jobs', uid)
if flags:find('s') then return 1 end
local arrival, sla, _, _, _, total, _, _, line, bucket = struct.unpack(SPEC, record)
call('ZADD', P .. 'line:' .. line, arrival + sla, uid)
call('HINCRBY', P .. 'backlog', bucket, total)
open_line(line, arrival)
return 1
