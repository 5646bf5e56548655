local uid, suspend = ARGV[1], ARGV[2] == '1'
local job = P .. 'job:' .. uid
local record, flags, next, back = unpack(call('HMGET', job, 's', 'f', 'n', 'b'))
local s = spec_of(record)
if not s then return 0 end
flags, next, back = flags or '', count(next), count(back)
if flags:find('c') or (flags:find('s') ~= nil) == suspend then return 1 end
if suspend then
  withdraw(uid, s, next, back)
  call('HSET', job, 'f', flags .. 's')
  return 1
end
call('HSET', job, 'f', (flags:gsub('s', '')))
if next < s.total then
  call('ZADD', P .. 'line:' .. s.line, s.due, uid)
  open_lines(class_of(s.line), { s.line }, { s.arrival })
end
local now = clock()
local entries = call('ZRANGE', P .. 'back:' .. uid, 0, -1, 'WITHSCORES')
for i = 1, #entries, 2 do
  offer_task(uid .. '/' .. entries[i], s, tonumber(entries[i + 1]), now)
end
local waiting = s.total - next + back
if waiting > 0 then add_backlog(s.bucket, waiting) end
return 1
