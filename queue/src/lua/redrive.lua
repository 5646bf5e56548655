local uid = ARGV[1]
local job = P .. 'job:' .. uid
local record, flags = unpack(call('HMGET', job, 's', 'f'))
flags = flags or ''
local s = spec_of(record)
if not s or flags:find('c') then return 0 end
local dead = call('ZRANGE', P .. 'dead:' .. uid, 0, -1)
for _, index in ipairs(dead) do
  local attempts = call('HGET', job, index):match('^X (%d+)')
  call('HSET', job, index, 'A ' .. attempts .. ' 0 0')
  call('ZREM', P .. 'dead', uid .. '/' .. index)
  call('ZADD', P .. 'back:' .. uid, 1, index)
  if not flags:find('s') then
    offer_task(uid .. '/' .. index, s, 1, 1)
    add_backlog(s.bucket, 1)
  end
end
call('DEL', P .. 'dead:' .. uid)
if #dead > 0 then
  call('HINCRBY', job, 'd', -#dead)
  call('HINCRBY', job, 'b', #dead)
end
return #dead
