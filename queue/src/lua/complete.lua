-- Tasks are done.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: worker; then for each its uid, index, attempt, GPU time in ms, whether it was made now (and not found), and
-- its result (JSON).
-- Returns for each whether it was accepted.
local worker = ARGV[1]
local now = clock()
local WIDTH = 6

-- By job, so that each is read and written once: where its tasks stand in ARGV, and their indexes.
local uids, places, indexes = {}, {}, {}
for i = 2, #ARGV, WIDTH do
  local uid = ARGV[i]
  if not places[uid] then
    uids[#uids + 1], places[uid], indexes[uid] = uid, {}, {}
  end
  table.insert(places[uid], i)
  table.insert(indexes[uid], ARGV[i + 1])
end

local answers, ended, leases = {}, {}, {}

-- Whether this write counts: the task is this worker's, or nobody's since Redis lost it.
local function counts_as(uid, index, attempt, c, state)
  local held = read_held(state)
  if held then return held.worker == worker and held.attempt == attempt and held end
  if adopt(uid, index, attempt, c, state, worker, now) then return { started = now, charge = 0 } end
  return false
end

-- The same write again, its first answer lost: accepted as before.
local function is_repeated(state, attempt)
  local by, who = (state or ''):match('^done (%d+) %d+ (.-)\n')
  return by == attempt and who == worker
end

local function complete(uid)
  local job = P .. 'job:' .. uid
  local c, states = read_counts(uid, indexes[uid])
  local fields, owed, known, learnt, done = {}, 0, nil, nil, 0
  for n, i in ipairs(places[uid]) do
    local index, attempt, gpu_ms, made, result = unpack(ARGV, i + 1, i + 5)
    local image = c and tonumber(index) < c.s.total
    local held = image and counts_as(uid, index, tonumber(attempt), c, states[n])
    answers[(i - 2) / WIDTH + 1] = (held or is_repeated(states[n], attempt)) and 1 or 0
    if held then
      local task = task_of(uid, index)
      done = done + 1
      gpu_ms = tonumber(gpu_ms)
      owed = owed + math.min(gpu_ms, now - held.started) - held.charge
      ended[#ended + 1], leases[#leases + 1] = task, lease_of(task, worker)
      fields[#fields + 1] = index
      fields[#fields + 1] = pack_done(attempt, now, worker, result)
      if made == '1' and held.history and held.history ~= '' then
        settle_doubts(read_history(held.history), worker, 'refuted')
      end
      if made == '1' and gpu_ms > 0 then
        known = known or read_learnt(c.s)
        learnt = learn(c.s, gpu_ms, learnt or known)
      end
    end
  end
  if done == 0 then return end
  c.succeeded = c.succeeded + done
  call('HSET', job, 'succeeded', integer(c.succeeded), unpack(fields))
  if learnt then write_learnt(c.s, learnt, known) end
  correct_charge(c.s, owed)
  if c.s.limit > 0 then
    for _ = 1, done do free_slot(c.s.tenant) end
  end
  tell(uid, c, 'advanced', now)
end

for _, uid in ipairs(uids) do complete(uid) end
if #ended > 0 then
  call('HDEL', P .. 'held:' .. worker, unpack(ended))
  call('ZREM', P .. 'leases', unpack(leases))
end
send_events()
return answers
