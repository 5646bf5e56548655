-- Stops a job of which nothing will come: what waits of it is not claimed any more. `err` says why.
local function stop(uid, c, err)
  call('HSET', P .. 'job:' .. uid, 'stopped', err, 'closed', 1)
  add_backlog(c.s.bucket, -c.waiting)
  withdraw(uid, c.s, 0)
  c.stopped, c.closed = err, '1'
end

-- After a task of it crashed: so often, on more than one worker if there are others, without an image.
local function stop_if_it_crashes(uid, c, err, worker, now)
  if c.succeeded > 0 or c.waiting == 0 or c.closed then return end
  local crashes, on = unpack(call('HMGET', P .. 'job:' .. uid, 'crashes', 'crashed_on'))
  if count(crashes) < MAX_CRASHES then return end
  if #read_history(on or '') > 1 or not another_lives(worker, c.s.class, now) then stop(uid, c, err) end
end

-- After an image of it failed for good: more than may, or several for the same reason without an image.
local function stop_if_it_fails(uid, c, err)
  local ok, read = pcall(cjson.decode, err)
  local reason = ok and tostring(read.reason) or ''
  local job = P .. 'job:' .. uid
  local alike = read_history(call('HGET', job, 'alike') or '')
  alike[reason] = (alike[reason] or 0) + 1
  call('HSET', job, 'alike', cjson.encode(alike))
  if c.waiting == 0 or c.closed then return end
  local limited = c.s.may_fail ~= NO_LIMIT
  if limited and c.failed > c.s.may_fail then stop(uid, c, err) end
  if not limited and alike[reason] >= MAX_ALIKE_FAILURES and c.succeeded == 0 then stop(uid, c, err) end
end
