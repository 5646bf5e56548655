-- Takes tasks of one job for a worker.

-- Of a line so many entries are looked at.
local DEPTH = 3
-- A task that came less than this ago, ms, is left to an idle worker that has its model: that one is on its way.
local FRESH = 3000

local function needs_load(ask, model)
  return model ~= NO_MODEL and model ~= ask.loaded_id
end

-- The job of an entry, `UID` or `UID/INDEX`, as far as a claim needs it.
local function read_job(entry)
  local uid, index = cut(entry)
  local record, counted, payload, next, closed, recheck, started, adopted, state = unpack(call('HMGET', P .. 'job:' .. uid,
    'record', 'counted', 'payload', 'next', 'closed', 'recheck', 'started', 'adopted', index or ''))
  local s, why = spec_of(record, counted)
  local attempts, history = 0, ''
  if index then attempts, history = read_back(state) end
  return {
    uid = uid, index = tonumber(index), s = s, why = why, record = record, payload = payload, next = count(next),
    closed = closed, recheck = recheck, started = started, adopted = count(adopted), attempts = attempts, history = history,
  }
end

-- Whether an entry has nothing to claim. A job whose record can't be read is buried; a newer program's is none of ours.
local function is_stale(job, now)
  if job.why == 'malformed' then bury_malformed(job.uid, now) end
  if not job.s then return job.why ~= 'newer' end
  if job.index then return not job.attempts or (job.closed and job.index < job.s.total) end
  return job.closed or job.next >= job.s.total
end

-- Whether a job is for others: a newer program's, or excluded from this worker while another lives.
local function is_for_others(ask, job)
  if not job.s then return true end
  if job.history == '' then return false end
  return contains(read_history(job.history).excluded, ask.worker) and another_lives(ask.worker, job.s.class, ask.now)
end

-- What one task of a job is expected to cost, GPU ms.
local function charge_of(ask, s)
  if ask.learned[s.work] == nil then
    ask.learned[s.work] = read_learned(s) or false
  end
  return expected_ms(s, ask.learned[s.work])
end

-- Takes a task that came back. Returns its charge.
local function take_back(ask, job)
  local s = job.s
  if job.index < s.total then
    call('ZREM', P .. 'back:' .. job.uid, job.index)
    call('HINCRBY', P .. 'job:' .. job.uid, 'returned', -1)
  end
  local charged = read_history(job.history).charged
  grant(ask, job, job.index, 1, charged or charge_of(ask, s), {})
  return charged and 0 or charge_of(ask, s)
end

-- The first index that nobody took over after Redis was lost, from `next` on.
local function skip_adopted(job)
  local key, first, adopted = P .. 'job:' .. job.uid, job.next, job.adopted
  while adopted > 0 and first < job.s.total and call('HEXISTS', key, integer(first)) == 1 do
    first, adopted = first + 1, adopted - 1
  end
  return first, adopted
end

-- Takes up to so many tasks that have not run yet. Returns what they are charged, and whether there are more.
local function take_next(ask, job, most)
  local s = job.s
  local first, adopted = skip_adopted(job)
  if adopted > 0 then most = 1 end
  local tasks = math.min(most, s.total - first)
  local states = { 'next', integer(first + tasks) }
  if job.adopted > 0 then
    states[3], states[4] = 'adopted', integer(adopted)
  end
  if tasks <= 0 then
    call('HSET', P .. 'job:' .. job.uid, unpack(states))
    return 0, false
  end
  if not job.started then
    states[#states + 1] = 'started'
    states[#states + 1] = integer(ask.now)
    event(job.uid, 'started')
  end
  local each = charge_of(ask, s)
  grant(ask, job, first, tasks, each, states)
  return tasks * each, first + tasks < s.total
end

-- Whether a task came so lately that it is left to an idle worker that has its model.
local function is_left_to_another(ask, s)
  if not needs_load(ask, s.model) or ask.now >= s.arrival + math.min(s.sla / 12, FRESH) then return false end
  return any_other(ask.worker, s.class, ask.now, function(name, loaded_id)
    return loaded_id == s.model and call('EXISTS', P .. 'held:' .. name) == 0
  end)
end

-- Takes what this worker may have of an entry of a line; `turns` says how many tasks of such a charge and weight its
-- flow may have.
-- Returns how far the flow's tag moves (nil when this worker gets nothing), whether the entry stays, and whether to
-- look no further: its tenant has no room, or the worker whose it is will come.
local function take_entry(ask, entry, turns)
  local job = read_job(entry)
  local s = job.s
  if is_stale(job, ask.now) then return nil, false end
  if is_for_others(ask, job) then return nil, true end
  if is_left_to_another(ask, s) then return nil, true, 'left' end
  local room = room_of(s, ask.want - granted.tasks)
  if room <= 0 then return nil, true, 'full' end
  local charge, stays
  if job.index then
    charge, stays = take_back(ask, job), false
  else
    charge, stays = take_next(ask, job, math.min(room, turns(charge_of(ask, s) / s.weight)))
  end
  return charge / s.weight, stays, room_of(s, 1) <= 0 and 'full' or nil
end

-- Takes from a line the first that this worker may have. Returns how far the flow's tag moves (nil when this worker
-- gets nothing), when the line's head must start (nil when it is empty now) and when that before had to, and whether
-- the tenant has no room.
local function take_line(ask, flow, model, turns)
  local line = line_key(flow, model)
  local entries = call('ZRANGE', line, 0, DEPTH, 'WITHSCORES')
  local step, why, head
  for i = 1, #entries, 2 do
    local stays = true
    if i < 2 * DEPTH and not step and not why then
      step, stays, why = take_entry(ask, entries[i], turns)
    end
    if not stays then call('ZREM', line, entries[i]) end
    head = head or stays and entries[i + 1]
  end
  if not head and #entries > 2 * DEPTH then head = call('ZRANGE', line, 0, 0, 'WITHSCORES')[2] end
  return step, head or nil, entries[2], why == 'full'
end
