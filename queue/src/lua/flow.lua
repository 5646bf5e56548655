-- Who comes next in a class: `turns:CLASS` has its flows that have work and room, by tag, the virtual time (GPU ms / weight)
-- at which their next task starts. A member begins with the due time of the flow's head, so of equal tags the one that
-- is due first comes first. `flow:FLOW` remembers: place (its member of turns, or empty), tag (while it has no place),
-- served (when it last got a task).
local function member_of(due, tenant) return ('%015.0f %s'):format(due, tenant) end
local function due_of(member) return tonumber(member:sub(1, 15)) end

local function ring(what)
  call('PUBLISH', P .. 'bell', what)
end

-- How many tasks of a tenant may start now; `most` where it has no limit.
local function room_of(s, most)
  if s.limit == 0 then return most end
  return math.min(most, s.limit - count(call('HGET', P .. 'running', s.tenant)))
end

-- Takes a flow out of its class's turns; it remembers its tag.
local function leave_turns(flow, place)
  local turns = P .. 'turns:' .. class_of(flow)
  local tag = call('ZSCORE', turns, place)
  if tag then
    call('ZREM', turns, place)
    call('HSET', P .. 'flow:' .. flow, 'place', '', 'tag', tag)
  else
    call('HSET', P .. 'flow:' .. flow, 'place', '')
  end
end

-- Puts a flow where its head and its tag belong, or takes it out when it has no work. A flow that comes in starts no
-- earlier than what was last served: nobody saves up turns by staying away.
local function place_flow(flow)
  local key, class, tenant = P .. 'flow:' .. flow, class_of(flow), tenant_of(flow)
  local turns = P .. 'turns:' .. class
  local place, tag = unpack(call('HMGET', key, 'place', 'tag'))
  local model, due = unpack(call('ZRANGE', P .. 'lines:' .. flow, 0, 0, 'WITHSCORES'))
  local in_place = place and place ~= ''
  if not model then
    if in_place then leave_turns(flow, place) end
    return
  end
  local member = member_of(due, tenant)
  if in_place then
    tag = call('ZSCORE', turns, place) or tag
    if place == member and tag then return end
    call('ZREM', turns, place)
  else
    tag = math.max(count(tag), count(call('HGET', P .. 'clock', class)))
  end
  call('ZADD', turns, decimal(count(tag)), member)
  call('HSET', key, 'place', member)
  if not in_place then
    call('ZADD', P .. 'waits', 'NX', due, flow)
    -- While there are others, those who were woken for them are still claiming.
    if call('ZCARD', turns) == 1 then ring('work') end
  end
end

-- The tenant has no room: its flow waits aside until one of its tasks ends.
local function park_flow(flow)
  call('SADD', P .. 'parked:' .. tenant_of(flow), class_of(flow))
  local place = call('HGET', P .. 'flow:' .. flow, 'place')
  if place and place ~= '' then leave_turns(flow, place) end
end

-- There is room for a task of the tenant: its flows may be claimed from again.
local function unpark(tenant)
  local parked = P .. 'parked:' .. tenant
  local classes = call('SMEMBERS', parked)
  if #classes == 0 then return end
  call('DEL', parked)
  for _, class in ipairs(classes) do place_flow(flow_of(class, tenant)) end
end

-- A line has other entries than before: its flow goes by the head it has now. Without room it waits aside.
local function line_changed(flow, model, s)
  local entry, due = unpack(call('ZRANGE', line_key(flow, model), 0, 0, 'WITHSCORES'))
  if entry then
    call('ZADD', P .. 'lines:' .. flow, due, model)
  else
    call('ZREM', P .. 'lines:' .. flow, model)
  end
  if entry and room_of(s, 1) <= 0 then park_flow(flow) else place_flow(flow) end
end

-- A flow pays for more, or less, than it was charged.
local function correct_charge(flow, delta)
  local key = P .. 'flow:' .. flow
  local place = call('HGET', key, 'place')
  if not place or delta == 0 then return end
  if place ~= '' then
    call('ZADD', P .. 'turns:' .. class_of(flow), 'XX', 'INCR', decimal(delta), place)
  else
    call('HINCRBYFLOAT', key, 'tag', decimal(delta))
  end
end
