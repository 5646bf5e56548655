local uid = ARGV[1]
local job = P .. 'job:' .. uid
local record, flags, next, back, dead = unpack(call('HMGET', job, 's', 'f', 'n', 'b', 'd'))
if not record then return 0 end
local s = spec_of(record)
flags = flags or ''
if s and not flags:find('[cs]') and (count(back) > 0 or count(next) < s.total) then
  withdraw(uid, s, count(next), count(back))
end
if count(dead) > 0 or not s then
  for _, index in ipairs(call('ZRANGE', P .. 'dead:' .. uid, 0, -1)) do
    call('ZREM', P .. 'dead', uid .. '/' .. index)
  end
  call('DEL', P .. 'dead:' .. uid)
end
if count(back) > 0 then call('DEL', P .. 'back:' .. uid) end
call('UNLINK', job)
call('SREM', P .. 'jobs', uid)
return 1
