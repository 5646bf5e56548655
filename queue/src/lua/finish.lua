-- Tells of a job to which something happened: that all its images have ended, or what happened. A job that is listed has
-- a last task then, whose index is its total.
local function tell(uid, c, kind, now)
  local s = c.s
  if not is_over(c) then return event(uid, kind) end
  if not s.listing or c.succeeded == 0 then return event(uid, 'finished') end
  local index = integer(s.total)
  if call('HSETNX', P .. 'job:' .. uid, index, 'back 0\n{"charged":0}') == 1 then
    offer(uid, index, s, 0, true, now)
    add_backlog(bucket_of(s, s.listing_kind), 1)
    event(uid, kind)
  elseif not call('HGET', P .. 'job:' .. uid, index):find('^[bh]') then
    event(uid, 'finished')
  end
end

-- A task that will not be tried again. The job's record has the latest one whole, so that its user is told why at once.
local function bury(uid, index, attempt, now, err)
  local state = ('dead %d %.0f\n%s'):format(attempt, now, err)
  call('HSET', P .. 'job:' .. uid, index, state, 'last_dead', index .. '\n' .. state)
  call('ZADD', P .. 'dead', 'NX', integer(now), uid)
  call('ZADD', P .. 'dead:' .. uid, index, index)
end

local function error_json(reason, message)
  return cjson.encode({ reason = reason, message = message })
end
