-- A task whose lease has ended without a result: it waits again, or is a dead letter. `held` is what its state said.
local function give_back(uid, index, held, how, now)
  local job = P .. 'job:' .. uid
  local c = read_counts(uid)
  if not c then return end
  local s, history = c.s, read_history(held.history)
  local listing = tonumber(index) == s.total
  local ready, err = JUDGES[how.kind](uid, s, history, how, held.worker, now)
  history.charged = STILL_CHARGED[how.kind] and held.charge or nil
  if not history.charged and not listing then
    correct_charge(s, math.min(how.gpu_ms or 0, now - held.started) - held.charge)
  end
  if listing then return give_listing_back(uid, index, held, c, history, ready, err, now) end
  if not err and c.unwanted then
    call('HDEL', job, index)
    c.cancelled = call('HINCRBY', job, 'cancelled', 1)
    return tell(uid, c, 'returned', now)
  end
  if err then
    bury(uid, index, held.attempt, now, err)
    if how.kind ~= 'preempted' then settle_doubts(history, held.worker, 'confirmed') end
    c.failed = call('HINCRBY', job, 'failed', 1)
    stop_if_it_fails(uid, c, err)
    return tell(uid, c, 'dead', now)
  end
  call('HSET', job, index, ('back %d\n%s'):format(held.attempt, cjson.encode(history)))
  c.returned = call('HINCRBY', job, 'returned', 1)
  c.waiting = c.waiting + 1
  call('ZADD', P .. 'back:' .. uid, integer(ready), index)
  if not c.closed then
    offer(uid, index, s, ready, history.charged, now)
    add_backlog(s.bucket, 1)
  end
  if how.kind == 'crashed' then
    stop_if_it_crashes(uid, c, error_json(ENGINE_CRASHED, 'the engine ended under several of its images'), held.worker, now)
  end
  tell(uid, c, 'returned', now)
end

-- A worker's lease has ended, or it is to lose it: the task waits again, if it is this worker's. A state that can't be read
-- is taken for such, as nobody else could end it.
local function interrupt(task, worker, now)
  local uid, index = cut(task)
  local state = call('HGET', P .. 'job:' .. uid, index)
  end_lease(task, worker)
  local held = read_held(state)
  local ended = not state or state:find('^back ') or state:find('^done ') or state:find('^dead ')
  if not held and not ended then held = { attempt = 1, started = now, charge = 0, worker = worker, history = '' } end
  if held and held.worker == worker then give_back(uid, index, held, { kind = 'preempted' }, now) end
end
