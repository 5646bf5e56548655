-- Serves one of a class's flows.

-- So many of a class's first flows are looked at for one that has something for a worker, or needs no load.
local LOOKAHEAD = 16
-- A flow that needs no load is served before its turn while it is not farther ahead than this part of its class's promise.
local LEAD = 0.5
-- While more than this part of its class's promise is left, a flow's head may wait for others that need no load.
local LAST_PART = 0.25
-- A head that came less than this ago, ms, is left to an idle worker that has its model: that one is on its way.
local FRESH = 3000

-- Serves a flow from one of its lines. `turns` says how many tasks of such a step of its tag it may have; `in_turn`, whether
-- it is the first, so that the class's clock goes on with it. Returns whether it was served, or something was put right.
local function serve_line(ask, class, member, tag, model, turns, in_turn)
  local tenant = tenant_of(member)
  local flow = flow_of(class.name, tenant)
  local step, changed, full = take_line(ask, flow, model, turns)
  if not (step or changed or full) then return false end
  local head = member
  if changed then
    local entry, due = unpack(call('ZRANGE', line_key(flow, model), 0, 0, 'WITHSCORES'))
    local lines = P .. 'lines:' .. flow
    if entry then call('ZADD', lines, due, model) else call('ZREM', lines, model) end
    local first, first_due = unpack(call('ZRANGE', lines, 0, 0, 'WITHSCORES'))
    head = first and member_of(first_due, tenant)
  end
  if full then
    call('SADD', P .. 'parked:' .. tenant, class.name)
    head = nil
  end
  local turns_key, after = P .. 'turns:' .. class.name, decimal(tag + (step or 0))
  if head ~= member then call('ZREM', turns_key, member) end
  if head then call('ZADD', turns_key, after, head) end
  call('HSET', P .. 'flow:' .. flow, 'place', head or '', 'tag', after, 'served', integer(ask.now))
  if in_turn and tag > class.clock then
    class.clock = tag
    call('HSET', P .. 'clock', class.name, decimal(tag))
  end
  class.read, ask.served = false, class
  return true
end

local function needs_load(ask, model)
  return model ~= NO_MODEL and model ~= ask.loaded_id
end

-- A flow's lines, by their heads' due times; those that need no load first.
local function lines_of(ask, flow)
  local found = call('ZRANGE', P .. 'lines:' .. flow, 0, DEPTH - 1)
  if #found <= 1 or not needs_load(ask, found[1]) then return found end
  local lines = {}
  local there = call('ZMSCORE', P .. 'lines:' .. flow, ask.loaded_id, NO_MODEL)
  if there[1] then lines[#lines + 1] = ask.loaded_id end
  if there[2] then lines[#lines + 1] = NO_MODEL end
  for _, model in ipairs(found) do
    if not contains(lines, model) then lines[#lines + 1] = model end
  end
  return lines
end

-- Whether a flow's head came so lately that it is left to an idle worker that has its model.
local function is_left_to_another(ask, class, member, model)
  if ask.now >= due_of(member) - class.sla + math.min(class.sla / 12, FRESH) then return false end
  return any_other(ask.worker, class.name, ask.now, function(name, loaded_id)
    return loaded_id == model and call('EXISTS', P .. 'held:' .. name) == 0
  end)
end

-- Serves a flow from the first of its lines that has something for this worker.
local function serve_flow(ask, class, member, tag, turns, in_turn)
  local flow = flow_of(class.name, tenant_of(member))
  local lines = lines_of(ask, flow)
  if #lines == 0 then
    leave_turns(flow, member)
    class.read = false
    return true
  end
  for _, model in ipairs(lines) do
    local left = needs_load(ask, model) and is_left_to_another(ask, class, member, model)
    if not left and serve_line(ask, class, member, tag, model, turns, in_turn) then return true end
  end
  return false
end

local function one() return 1 end

-- When a flow's head should be served: by its due time, or, if the flow was served since that arrived, as if it had arrived
-- then.
local function deadline_of(class, member)
  local served = call('HGET', P .. 'flow:' .. flow_of(class.name, tenant_of(member)), 'served')
  return math.max(due_of(member), count(served) + class.sla)
end

-- Serves a flow that needs no load, of those near the head of their class and not far ahead of its tag.
local function serve_loaded(ask, class, classes)
  local order = { class }
  for _, other in ipairs(classes) do
    if other ~= class and #other.returned + #other.overdue == 0 then order[#order + 1] = other end
  end
  for _, other in ipairs(order) do
    local near = call('ZRANGE', P .. 'turns:' .. other.name, 0, LOOKAHEAD - 1, 'WITHSCORES')
    local farthest = tonumber(near[2] or 0) + other.sla * LEAD
    for i = 1, #near, 2 do
      local member, tag = near[i], tonumber(near[i + 1])
      if tag > farthest then break end
      local lines = P .. 'lines:' .. flow_of(other.name, tenant_of(member))
      local there = call('ZMSCORE', lines, ask.loaded_id, NO_MODEL)
      local model = there[1] and ask.loaded_id or there[2] and NO_MODEL
      if model and serve_line(ask, other, member, tag, model, one, i == 1) then return true end
    end
  end
  return false
end

-- Serves the flow whose turn it is; another one that needs no load, while that can wait; or, where neither has anything for
-- this worker, one of the next.
local function serve_turns(ask, class, classes, forced)
  local member, tag = class.turns[1], tonumber(class.turns[2])
  if not member then return false end
  local head = call('ZRANGE', P .. 'lines:' .. flow_of(class.name, tenant_of(member)), 0, DEPTH - 1)
  local waits = #head > 0 and not forced
  for _, model in ipairs(head) do waits = waits and needs_load(ask, model) end
  if waits and ask.now < deadline_of(class, member) - LAST_PART * class.sla and serve_loaded(ask, class, classes) then
    return true
  end
  local next_tag = tonumber(class.turns[4])
  local function turns(step)
    local until_next = next_tag and math.floor((next_tag - tag) / step) + 1 or ask.want
    return math.max(until_next, ask.quantum)
  end
  if serve_flow(ask, class, member, tag, #classes == 1 and turns or one, true) then return true end
  local near = call('ZRANGE', P .. 'turns:' .. class.name, 1, LOOKAHEAD - 1, 'WITHSCORES')
  for i = 1, #near, 2 do
    if serve_flow(ask, class, near[i], tonumber(near[i + 1]), one, false) then return true end
  end
  return false
end
