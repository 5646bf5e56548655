-- Serves one of a class's flows.

-- So many of a class's first flows are looked at.
local LOOKAHEAD = 16

local function one() return 1 end

-- The allowance: up to this tag a flow may go before its turn. It is ahead of the lowest by no more than what all
-- busy workers do in the last part of the class's promise, the part in which tasks press.
local function highest_tag(ask, class, lowest)
  ask.busy = ask.busy or math.max(1, call('ZCARD', P .. 'leases'))
  return tonumber(lowest) + PRESSING_SLAS * class.sla * ask.busy
end

-- A flow's first lines, each with when its head must start.
local function read_lines(class, tenant)
  return call('ZRANGE', P .. 'lines:' .. flow_of(class.name, tenant), 0, DEPTH - 1, 'WITHSCORES')
end

-- A flow was served, so that its tag moves on by `step`, or put right (nil): writes where it stands by its head, nil
-- when it has none for claims.
local function move_flow(ask, class, tenant, tag, step, head)
  local turns, limits = P .. 'turns:' .. class.name, P .. 'limits:' .. class.name
  local after = tag + (step or 0)
  if step then call('ZADD', P .. 'clock', 'GT', class.turns[2], class.name) end
  if not head then
    call('ZREM', turns, tenant)
    call('ZREM', limits, tenant)
    return remember_tag(class.name, tenant, after)
  end
  if step then call('ZADD', turns, decimal(after), tenant) end
  local start_by = tonumber(head)
  if start_by > ask.now then
    call('ZADD', limits, head, tenant)
  else
    local before = step and ask.now + MAX_WAIT_SLAS * class.sla or count(call('ZSCORE', limits, tenant))
    call('ZADD', limits, integer(limit_of(start_by, class.sla, before, ask.now)), tenant)
  end
end

-- Serves a flow from one of its lines, as far as `turns` lets it; `lines` are its first ones, if they are known.
-- Returns whether it was served, or something was put right.
local function serve_line(ask, class, tenant, tag, model, turns, lines)
  local flow = flow_of(class.name, tenant)
  local step, head, before, full = take_line(ask, flow, model, turns)
  local changed = head ~= before or not head
  if not (step or changed or full) then return false end
  local key = P .. 'lines:' .. flow
  if changed and head then call('ZADD', key, head, model) end
  if not head then call('ZREM', key, model) end
  local first = head
  if not lines or #lines > 2 then first = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] end
  move_flow(ask, class, tenant, tag, step, first)
  if full then park_flow(class.name, tenant, class.sla) end
  class.read = false
  if step then ask.served = class end
  return true
end

-- The models of a flow's lines in the order in which a worker tries them: those that need no load first.
local function models_for(ask, class, tenant, lines)
  local models = {}
  if #lines > 2 and needs_load(ask, lines[1]) then
    local there = call('ZMSCORE', P .. 'lines:' .. flow_of(class.name, tenant), ask.loaded_id, NO_MODEL)
    if there[1] then models[1] = ask.loaded_id end
    if there[2] then models[#models + 1] = NO_MODEL end
  end
  for i = 1, #lines, 2 do
    if not contains(models, lines[i]) then models[#models + 1] = lines[i] end
  end
  return models
end

-- Serves a flow from the first of its lines that has something for this worker.
local function serve_flow(ask, class, tenant, tag, turns, lines)
  lines = lines or read_lines(class, tenant)
  if #lines == 0 then
    leave(class.name, tenant)
    class.read = false
    return true
  end
  for _, model in ipairs(models_for(ask, class, tenant, lines)) do
    if serve_line(ask, class, tenant, tag, model, turns, lines) then return true end
  end
  return false
end

-- Serves a flow that needs no load, of those within the allowance.
local function serve_loaded(ask, class, classes)
  local order = { class }
  for _, other in ipairs(classes) do
    if other ~= class and #other.returned + #other.pressing == 0 then order[#order + 1] = other end
  end
  for _, other in ipairs(order) do
    local near = call('ZRANGE', P .. 'turns:' .. other.name, 0, LOOKAHEAD - 1, 'WITHSCORES')
    local most = near[2] and highest_tag(ask, other, near[2])
    for i = 1, #near, 2 do
      local tenant, tag = near[i], tonumber(near[i + 1])
      if tag > most then break end
      local there = call('ZMSCORE', P .. 'lines:' .. flow_of(other.name, tenant), ask.loaded_id, NO_MODEL)
      local model = there[1] and ask.loaded_id or there[2] and NO_MODEL
      if model and serve_line(ask, other, tenant, tag, model, one) then return true end
    end
  end
  return false
end

-- Whether a flow has nothing among its first lines that this worker can do without a load.
local function all_need_loads(ask, lines)
  for i = 1, #lines, 2 do
    if not needs_load(ask, lines[i]) then return false end
  end
  return #lines > 0
end

-- Serves a flow whose first task must start soon, or that was not served for its longest wait; while that can still
-- wait, one that needs no load.
local function serve_pressing(ask, class, classes)
  local first = class.pressing[1]
  if not first then return false end
  local waits = not class.forced and first.limit > ask.now + LOAD_SLAS * class.sla
  if waits and all_need_loads(ask, read_lines(class, first.tenant)) and serve_loaded(ask, class, classes) then
    return true
  end
  for _, flow in ipairs(class.pressing) do
    if serve_flow(ask, class, flow.tenant, flow.tag, one) then return true end
  end
  return false
end

-- Serves the flow whose turn it is; another one that needs no load, while nothing presses; or, where it has nothing
-- for this worker, one of the next.
local function serve_turns(ask, class, classes)
  local tenant, tag = class.turns[1], tonumber(class.turns[2])
  if not tenant then return false end
  local lines = read_lines(class, tenant)
  local waits = not class.forced and #class.pressing == 0 and all_need_loads(ask, lines)
  if waits and serve_loaded(ask, class, classes) then return true end
  local next_tag = tonumber(class.turns[4])
  local function turns(step)
    local until_next = next_tag and math.floor((next_tag - tag) / step) + 1 or ask.want
    return math.max(until_next, ask.quantum)
  end
  if serve_flow(ask, class, tenant, tag, #classes == 1 and turns or one, lines) then return true end
  local near = call('ZRANGE', P .. 'turns:' .. class.name, 0, LOOKAHEAD - 1, 'WITHSCORES')
  for i = 1, #near, 2 do
    if near[i] ~= tenant and serve_flow(ask, class, near[i], tonumber(near[i + 1]), one) then return true end
  end
  return false
end
