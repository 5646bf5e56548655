-- Takes all of a job's waiting tasks out of the lane. Returns how many there are.
local function withdraw(uid, s, next, back)
  local class = class_of(s.line)
  call('ZREM', P .. 'line:' .. s.line, uid)
  if back > 0 then
    for _, index in ipairs(call('ZRANGE', P .. 'back:' .. uid, 0, -1)) do
      local task = uid .. '/' .. index
      call('ZREM', P .. 'line:' .. s.line, task)
      call('ZREM', P .. 'later', task)
      call('ZREM', P .. 'lane:' .. class, '!' .. task)
      call('ZREM', P .. 'park:' .. class .. ':' .. s.line:sub(-16), '!' .. task)
    end
  end
  local waiting = s.total - next + back
  if waiting > 0 then add_backlog(s.bucket, -waiting) end
  if call('EXISTS', P .. 'line:' .. s.line) == 0 then call('ZREM', P .. 'lane:' .. class, s.line) end
  -- Another line of the tenant may have been parked for this one.
  if s.limit > 0 then unpark(s.line:sub(-16)) end
  return waiting
end
