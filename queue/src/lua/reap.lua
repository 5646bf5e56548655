-- So many of each kind in one run, to keep Redis free for others.
local BATCH = 500
-- Every lane is looked through for overdue lines within this time, if called each second.
local SWEEP = 10
-- Overdue lines go after what was interrupted and before all else, the longest overdue first.
local OVERDUE = -1e14
-- Then those whose first job presses. Among them shares count as among all, so these stand as far apart as their tags.
local PRESSING = -1e13
local HOUR = 3600000
local DAY = 24 * HOUR

local now = clock()

local function interrupt(task, lease)
  local uid, index = cut(task)
  end_lease(task, lease)
  give_back(uid, index, lease.attempt, 'I', now)
end

-- A lease of which nobody knows whose it was: if its task is neither done nor waiting, it waits again.
local function interrupt_unknown(task)
  local uid, index = cut(task)
  call('HDEL', P .. 'active', task)
  call('ZREM', P .. 'leases', task)
  local record, state = unpack(call('HMGET', P .. 'job:' .. uid, 's', index))
  local s = spec_of(record)
  if not s or (state and not state:find('^A')) or call('ZSCORE', P .. 'back:' .. uid, index) then return end
  if s.limit > 0 then free_slot(s.line:sub(-16)) end
  give_back(uid, index, count((state or ''):match('^A (%d+)')) + 1, 'I', now)
end

local expired = call('ZRANGE', P .. 'leases', '-inf', now, 'BYSCORE', 'LIMIT', 0, BATCH)
for _, task in ipairs(expired) do
  local lease = read_lease(call('HGET', P .. 'active', task))
  if lease then interrupt(task, lease) else interrupt_unknown(task) end
end

local missing = 0
if call('HLEN', P .. 'active') ~= call('ZCARD', P .. 'leases') then
  for _, task in ipairs(call('HKEYS', P .. 'active')) do
    if not call('ZSCORE', P .. 'leases', task) then
      local lease = read_lease(call('HGET', P .. 'active', task))
      if lease then interrupt(task, lease) else interrupt_unknown(task) end
      missing = missing + 1
    end
  end
end

local ready = call('ZRANGE', P .. 'later', '-inf', now, 'BYSCORE', 'LIMIT', 0, BATCH)
for _, task in ipairs(ready) do
  call('ZREM', P .. 'later', task)
  local uid = cut(task)
  local s = spec_of(call('HGET', P .. 'job:' .. uid, 's'))
  if s then offer_task(task, s, 1, now) end
end

-- The time by which a line should be served, whatever the shares; and the time from which on it presses.
local function limits_of(class, line)
  local entry, due = unpack(call('ZRANGE', P .. 'line:' .. line, 0, 0, 'WITHSCORES'))
  local uid = entry and cut(entry .. '/')
  local s = uid and spec_of(call('HGET', P .. 'job:' .. uid, 's'))
  if not s then return now + HOUR, now + HOUR end
  local served = count(call('HGET', P .. 'fair', 'due:' .. class .. line:sub(-17)))
  return math.max(tonumber(due), served) - s.sla + s.max_wait, tonumber(due) - LAST_PART * s.sla
end

local overdue = 0
for _, class in ipairs(call('SMEMBERS', P .. 'lanes')) do
  local lane = P .. 'lane:' .. class
  local lines = call('ZCARD', lane)
  if lines == 0 then
    call('SREM', P .. 'lanes', class)
  else
    local cursor = call('HGET', P .. 'reaper', class) or '0'
    local found = call('ZSCAN', lane, cursor, 'COUNT', math.max(100, math.ceil(lines / SWEEP)))
    call('HSET', P .. 'reaper', class, found[1])
    local lane_now = now + count(call('HGET', P .. 'fair', 'lead:' .. class))
    for i = 1, #found[2], 2 do
      local line, tag = found[2][i], tonumber(found[2][i + 1])
      if tag > OVERDUE / 2 then
        local limit, presses = limits_of(class, line)
        -- It may not be looked at again before its time.
        if limit <= now + SWEEP * 1000 then
          call('ZADD', lane, 'XX', OVERDUE + limit, line)
          overdue = overdue + 1
        elseif presses <= now and tag >= 0 then
          local ahead = math.max(math.min(tag - lane_now, -PRESSING / 2), PRESSING / 2)
          call('ZADD', lane, 'XX', integer(PRESSING + ahead), line)
        end
      end
    end
  end
end

-- Virtual times that no longer matter: the lane's clock has passed them, and nobody waits by them.
local leads = {}
local found = call('HSCAN', P .. 'fair', call('HGET', P .. 'reaper', '*fair') or '0', 'COUNT', 100)
call('HSET', P .. 'reaper', '*fair', found[1])
for i = 1, #found[2], 2 do
  local flow = found[2][i]:match('^vt:(.*)$')
  if flow then
    local class = flow:sub(1, -18)
    leads[class] = leads[class] or count(call('HGET', P .. 'fair', 'lead:' .. class))
    local due = count(call('HGET', P .. 'fair', 'due:' .. flow))
    if tonumber(found[2][i + 1]) <= now + leads[class] and due + HOUR < now then
      call('HDEL', P .. 'fair', 'vt:' .. flow, 'due:' .. flow)
    end
  end
end

local workers = call('HSCAN', P .. 'workers', call('HGET', P .. 'reaper', '*workers') or '0', 'COUNT', 50)
call('HSET', P .. 'reaper', '*workers', workers[1])
for i = 1, #workers[2], 2 do
  local w = read_worker(workers[2][i])
  if math.max(w.seen, w.ordered) + DAY < now then
    call('HDEL', P .. 'workers', workers[2][i])
  end
end

send_events()
local more = (#expired == BATCH or #ready == BATCH) and 1 or 0
return { #expired, missing, #ready, overdue, more }
