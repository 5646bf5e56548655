local uid = ARGV[1]
local job = P .. 'job:' .. uid
local record, flags, next, back, ok, dead, stopped =
  unpack(call('HMGET', job, 's', 'f', 'n', 'b', 'k', 'd', 'x'))
local s = spec_of(record)
if not s then return 0 end
flags = flags or ''
if flags:find('c') then return 1 end
local waiting = s.total - count(next) + count(back)
if not flags:find('s') then withdraw(uid, s, count(next), count(back)) end
call('DEL', P .. 'back:' .. uid)
stopped = count(stopped) + waiting
call('HSET', job, 'f', flags .. 'c', 'n', s.total, 'b', 0, 'x', stopped)
if waiting > 0 and count(ok) + count(dead) + stopped == s.total then event(uid, 'F') end
send_events()
return 1
