-- How often a task may be interrupted; also in queue.rs.
local MAX_INTERRUPTIONS = 20

local function cut(task)
  local slash = task:find('/', 1, true)
  return task:sub(1, slash - 1), task:sub(slash + 1)
end

local function bury(uid, index, attempt, now, err, over)
  local task = uid .. '/' .. index
  call('HSET', P .. 'job:' .. uid, index, ('X %d %.0f\n%s'):format(attempt, now, err))
  call('HINCRBY', P .. 'job:' .. uid, 'd', 1)
  call('ZADD', P .. 'dead', now, task)
  call('ZADD', P .. 'dead:' .. uid, index, index)
  event(uid, over and 'F' or 'D')
end

-- What becomes of a task whose lease has ended without a result. how: I interrupted, F failed (to be tried
-- again after the delay), R rejected. Returns true when it is a dead letter.
local function give_back(uid, index, attempt, how, now, delay, err)
  local job = P .. 'job:' .. uid
  local record, flags, ok, dead, stopped, state = unpack(call('HMGET', job, 's', 'f', 'k', 'd', 'x', index))
  local s = spec_of(record)
  if not s then return false end
  flags = flags or ''
  local last = count(ok) + count(dead) + count(stopped) + 1 == s.total
  if flags:find('c') then
    call('HINCRBY', job, 'x', 1)
    if last then event(uid, 'F') end
    return false
  end
  local failures, interruptions = (state or ''):match('^A %d+ (%d+) (%d+)')
  failures, interruptions = count(failures), count(interruptions)
  local hopeless = how == 'R'
  local ready = 0
  if how == 'I' then
    interruptions = interruptions + 1
    call('HINCRBY', job, 'i', 1)
    if interruptions > MAX_INTERRUPTIONS then
      hopeless = true
      err = cjson.encode({
        reason = 'TooManyInterruptions',
        message = 'its machine went away ' .. interruptions .. ' times',
      })
    end
  elseif how == 'F' then
    failures = failures + 1
    ready = now + delay
    hopeless = failures > s.retries
    if not hopeless then call('HINCRBY', job, 'r', 1) end
  end
  if hopeless then
    bury(uid, index, attempt, now, err, last)
    return true
  end
  call('HSET', job, index, ('A %d %d %d'):format(attempt, failures, interruptions))
  call('HINCRBY', job, 'b', 1)
  call('ZADD', P .. 'back:' .. uid, ready, index)
  if not flags:find('s') then
    offer_task(uid .. '/' .. index, s, ready, now)
    add_backlog(s.bucket, 1)
  end
  -- Once for all that a machine held of a job.
  if events[#events - 1] ~= uid then event(uid, 'B') end
  return false
end
