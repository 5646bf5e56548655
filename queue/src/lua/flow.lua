-- Who comes next in a class. A tenant that has work and room there stands in two of its orders: in `turns:CLASS` by
-- tag, the virtual time (GPU ms / weight) at which its next task starts; and in `limits:CLASS` by when it is to be
-- served at the latest: when its first task must start to be in time or, where that is over, when its longest wait
-- is. `clock` has for each class the largest tag that was the lowest when something was granted; `left:CLASS` the
-- tags of tenants that have no work or no room now, until the clock has passed them.

local function ring(what)
  call('PUBLISH', P .. 'bell', what)
end

-- How many tasks of a tenant may start now; `most` where it has no limit.
local function room_of(s, most)
  if s.limit == 0 then return most end
  return math.min(most, s.limit - count(call('HGET', P .. 'running', s.tenant)))
end

-- When a tenant is to be served at the latest. `before` is what was said of it, if it waits already.
local function limit_of(start_by, sla, before, now)
  if start_by > now then return start_by end
  return math.max(before, start_by + (MAX_WAIT_SLAS - 1) * sla)
end

-- A tenant waits no more, and has this tag.
local function remember_tag(class, tenant, tag)
  call('ZADD', P .. 'left:' .. class, decimal(tag), tenant)
end

local function leave(class, tenant)
  local turns = P .. 'turns:' .. class
  local tag = call('ZSCORE', turns, tenant)
  call('ZREM', P .. 'limits:' .. class, tenant)
  if not tag then return end
  call('ZREM', turns, tenant)
  remember_tag(class, tenant, tonumber(tag))
end

-- A tenant begins to wait, at the class's clock or at the tag that it left with: nobody saves up turns by staying away.
local function enter(class, tenant, limit)
  local turns, left = P .. 'turns:' .. class, P .. 'left:' .. class
  local tag = count(call('ZSCORE', P .. 'clock', class))
  local had = call('ZSCORE', left, tenant)
  if had then
    call('ZREM', left, tenant)
    tag = math.max(tag, tonumber(had))
  end
  call('ZADD', turns, decimal(tag), tenant)
  call('ZADD', P .. 'limits:' .. class, integer(limit), tenant)
  -- While there are others, those who were woken for them are still claiming.
  if call('ZCARD', turns) == 1 then ring('work') end
end

-- Puts a flow where its head belongs, or takes it out when it has no work.
local function place_flow(class, tenant, sla)
  local head = tonumber(call('ZRANGE', P .. 'lines:' .. flow_of(class, tenant), 0, 0, 'WITHSCORES')[2])
  if not head then return leave(class, tenant) end
  local limits = P .. 'limits:' .. class
  local before = count(call('ZSCORE', limits, tenant))
  local limit = limit_of(head, sla, before, clock())
  if not call('ZSCORE', P .. 'turns:' .. class, tenant) then
    enter(class, tenant, limit)
  elseif limit ~= before then
    call('ZADD', limits, integer(limit), tenant)
  end
end

-- The tenant has no room: its flow waits aside until one of its tasks ends.
local function park_flow(class, tenant, sla)
  call('HSET', P .. 'parked:' .. tenant, class, integer(sla))
  leave(class, tenant)
end

-- There is room for a task of the tenant: its flows may be claimed from again.
local function unpark(tenant)
  local parked = P .. 'parked:' .. tenant
  local classes = call('HGETALL', parked)
  if #classes == 0 then return end
  call('DEL', parked)
  for i = 1, #classes, 2 do place_flow(classes[i], tenant, tonumber(classes[i + 1])) end
end

-- A flow has another head: it stands where that belongs.
local function flow_changed(s)
  if room_of(s, 1) <= 0 then park_flow(s.class, s.tenant, s.sla) else place_flow(s.class, s.tenant, s.sla) end
end

-- Something left a line: its flow's order is put right.
local function line_changed(s)
  local head = call('ZRANGE', line_key(s.flow, s.model), 0, 0, 'WITHSCORES')[2]
  if head then
    call('ZADD', P .. 'lines:' .. s.flow, head, s.model)
  else
    call('ZREM', P .. 'lines:' .. s.flow, s.model)
  end
  flow_changed(s)
end

-- Entries join a line; `first` is the lowest of their scores. Only with another head does its flow's order change.
local function join_line(s, first, ...)
  call('ZADD', line_key(s.flow, s.model), ...)
  if call('ZADD', P .. 'lines:' .. s.flow, 'LT', 'CH', first, s.model) == 1 then flow_changed(s) end
end

-- A tenant pays for more, or less, than it was charged.
local function correct_charge(s, gpu_ms)
  local by = decimal(gpu_ms / s.weight)
  if tonumber(by) == 0 then return end
  if not call('ZADD', P .. 'turns:' .. s.class, 'XX', 'INCR', by, s.tenant) then
    call('ZADD', P .. 'left:' .. s.class, 'XX', 'INCR', by, s.tenant)
  end
end
