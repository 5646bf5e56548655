-- After Redis has lost it, a task of a job that was queued again (to be rechecked) may be in the hands of a worker that had
-- it before: if nobody holds it and it is not finished, it is that worker's again, and claims pass it by.
local function adopt(uid, index, attempt, c, state, worker, now)
  local s = c.s
  if not c.recheck or tonumber(index) >= s.total or (state and not read_back(state)) then return false end
  local job, task = P .. 'job:' .. uid, task_of(uid, index)
  local _, history = read_back(state)
  if state then
    call('HINCRBY', job, 'returned', -1)
    call('ZREM', P .. 'back:' .. uid, index)
    call('ZREM', P .. 'later', task)
    call('ZREM', P .. 'returned:' .. s.class, task)
    if call('ZREM', line_key(s.flow, s.model), task) == 1 then line_changed(s) end
  elseif tonumber(index) >= c.next then
    call('HINCRBY', job, 'adopted', 1)
  else
    return false
  end
  if not c.closed then add_backlog(s.bucket, -1) end
  -- What it was charged for before is not known any more: nothing, then; its end corrects that.
  c.waiting = c.waiting - 1
  call('HSET', job, index, pack_held(attempt, now, 0, worker, history or ''))
  if s.limit > 0 then call('HINCRBY', P .. 'running', s.tenant, 1) end
  if call('HSETNX', job, 'started', integer(now)) == 1 then event(uid, 'started') end
  return true
end
