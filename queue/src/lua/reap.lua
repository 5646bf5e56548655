-- Finds what became due: leases that ended, tasks whose delay is over, and workers of long ago; of each as many as one
-- script may.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, lease in ms, the time that it should be by the reaper's own clock (0: not known), whether leases are
-- spared.
-- Returns Redis' time, whether its clock has jumped, how many leases had ended, were missing, tasks became ready,
-- records could not be read; and whether to call again.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local lease, expected, spare = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
-- The clock may be off by so much, ms, before leases are spared for it.
local JUMP = 2000
local DAY = 86400000

local now = clock()
local jumped = expected > 0 and math.abs(now - expected) > JUMP
local malformed, more = 0, false

local function due(key, till)
  local found = call('ZRANGE', P .. key, '-inf', integer(till), 'BYSCORE', 'LIMIT', 0, BATCH)
  more = more or #found == BATCH
  return found
end

local function end_leases()
  if jumped or spare then return 0 end
  local ended = due('leases', now)
  for _, member in ipairs(ended) do
    local task, worker = parts_of(member)
    if task then
      interrupt(task, worker, now)
    else
      call('ZREM', P .. 'leases', member)
      malformed = malformed + 1
    end
  end
  return #ended
end

-- A clock that went back would make leases last for as much longer.
local function shorten_leases()
  local latest, later = integer(now + lease), '(' .. integer(now + lease + JUMP)
  for _, member in ipairs(call('ZRANGE', P .. 'leases', later, '+inf', 'BYSCORE', 'LIMIT', 0, BATCH)) do
    call('ZADD', P .. 'leases', latest, member)
  end
end

-- What workers hold without a lease: it would never end.
local function end_missing()
  local workers, held = call('ZRANGE', P .. 'workers', 0, -1), 0
  for _, worker in ipairs(workers) do held = held + call('HLEN', P .. 'held:' .. worker) end
  local missing = 0
  if held <= call('ZCARD', P .. 'leases') then return 0 end
  for _, worker in ipairs(workers) do
    for _, task in ipairs(call('HKEYS', P .. 'held:' .. worker)) do
      if missing < BATCH and not call('ZSCORE', P .. 'leases', lease_of(task, worker)) then
        interrupt(task, worker, now)
        missing = missing + 1
      end
    end
  end
  more = more or missing == BATCH
  return missing
end

local function offer_ready()
  local ready = due('later', now)
  for _, task in ipairs(ready) do
    call('ZREM', P .. 'later', task)
    local uid, index = cut(task)
    local c = read_counts(uid)
    local state = call('HGET', P .. 'job:' .. uid, index or '')
    local attempts, history = read_back(state)
    if c and attempts and (not c.closed or tonumber(index) == c.s.total) then
      offer(uid, index, c.s, 0, read_history(history).charged, now)
    elseif not c and state then
      malformed = malformed + 1
    end
  end
  return #ready
end

local function forget_workers()
  for _, worker in ipairs(due('workers', now - DAY)) do
    if call('EXISTS', P .. 'held:' .. worker) == 0 then
      call('ZREM', P .. 'workers', worker)
      call('UNLINK', P .. 'worker:' .. worker)
    end
  end
end

-- Tenants that left come back at the clock, if it has passed their tags.
local function forget_tags()
  local clocks = call('ZRANGE', P .. 'clock', 0, -1, 'WITHSCORES')
  for i = 1, #clocks, 2 do call('ZREMRANGEBYSCORE', P .. 'left:' .. clocks[i], '-inf', clocks[i + 1]) end
end

shorten_leases()
local ended, missing, ready = end_leases(), end_missing(), offer_ready()
forget_workers()
forget_tags()
send_events()
return { now, jumped and 1 or 0, ended, missing, ready, malformed, more and 1 or 0 }
