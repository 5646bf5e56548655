-- What becomes of a task that a worker gives back. `how`: kind (preempted, handedBack, crashed, doubted, failed, rejected,
-- withheld), error (JSON), delay (ms), blame (whose fault the error is). Changes the task's history; returns when it may be
-- claimed again, or nil and the error that makes it a dead letter.

-- After its engine ended under it a task waits so long, ms, and twice as long each time after.
local CRASH_DELAY = 5000
-- The only worker that there is may doubt a task once more after this time, ms.
local SECOND_LOOK = 10000

local JUDGES = {}

function JUDGES.preempted(uid, _, history)
  history.interruptions = (history.interruptions or 0) + 1
  call('HINCRBY', P .. 'job:' .. uid, 'interruptions', 1)
  if history.interruptions > MAX_INTERRUPTIONS then
    return nil, error_json(TOO_MANY_INTERRUPTIONS, 'its machine went away ' .. history.interruptions .. ' times')
  end
  return 0
end

function JUDGES.handedBack(_, _, history, _, worker)
  history.excluded = add_worker(history.excluded, worker)
  return 0
end

function JUDGES.crashed(uid, s, history, how, worker, now)
  local job = P .. 'job:' .. uid
  history.crashes = (history.crashes or 0) + 1
  history.crashed_on = add_worker(history.crashed_on, worker)
  history.excluded = add_worker(history.excluded, worker)
  call('HINCRBY', job, 'crashes', 1)
  local on = add_worker(read_history(call('HGET', job, 'crashed_on') or ''), worker)
  call('HSET', job, 'crashed_on', cjson.encode(on))
  local enough = #history.crashed_on > 1 or not another_lives(worker, s.class, now)
  if history.crashes >= MAX_CRASHES and enough then
    local ok, err = pcall(cjson.decode, how.error)
    return nil, error_json(ENGINE_CRASHED, ok and err.message or 'the engine ended under it')
  end
  return now + CRASH_DELAY * 2 ^ (history.crashes - 1)
end

function JUDGES.doubted(_, s, history, how, worker, now)
  if history.doubted_by then return nil, how.error end
  history.doubted_by = { worker }
  history.excluded = add_worker(history.excluded, worker)
  return another_lives(worker, s.class, now) and 0 or now + SECOND_LOOK
end

function JUDGES.failed(uid, s, history, how, _, now)
  history.failures = (history.failures or 0) + 1
  if history.failures > s.retries then return nil, how.error end
  call('HINCRBY', P .. 'job:' .. uid, 'retries', 1)
  return now + how.delay
end

function JUDGES.rejected(_, _, _, how)
  return nil, how.error
end

function JUDGES.withheld(_, _, history, how, worker, now)
  if how.blame == 'worker' or how.blame == 'machine' then
    history.excluded = add_worker(history.excluded, worker)
  end
  return now + how.delay
end

-- These were not at the task: its charge stands for the next attempt, which goes before others.
local STILL_CHARGED = { preempted = true, handedBack = true, doubted = true, withheld = true }
