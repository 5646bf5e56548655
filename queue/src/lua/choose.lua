-- The one choice. Between classes: the one whose head must start first; but one with a shorter promise that has work
-- is passed over at most PASSES times in a row. In a class: what came back, then what presses, then the flow whose
-- turn it is.

-- The flows of a class that go before their turn: those that press, can still be in time and are within the
-- allowance; and those whose longest wait is over.
local function read_pressing(ask, class)
  local pressing, limits = {}, P .. 'limits:' .. class.name
  local till = ask.now + PRESSING_SLAS * class.sla
  local near = call('ZRANGE', limits, '-inf', integer(till), 'BYSCORE', 'LIMIT', 0, LOOKAHEAD, 'WITHSCORES')
  if #near == 0 then return pressing end
  local tenants = {}
  for i = 1, #near, 2 do tenants[#tenants + 1] = near[i] end
  local most = highest_tag(ask, class, class.turns[2])
  for n, tag in ipairs(call('ZMSCORE', P .. 'turns:' .. class.name, unpack(tenants))) do
    local tenant, limit = tenants[n], tonumber(near[2 * n])
    if limit <= ask.now then
      -- Its first task is too late now, unless it is the longest wait that is over.
      place_flow(class.name, tenant, class.sla)
      limit = count(call('ZSCORE', limits, tenant))
    end
    tag = tonumber(tag)
    if tag and limit <= till and (limit <= ask.now or tag <= most) then
      pressing[#pressing + 1] = { tenant = tenant, tag = tag, limit = limit }
    end
  end
  return pressing
end

-- Of the tenants with this tag that which is to be served first, as far as can be seen.
local function first_of_equal(class, tag)
  local turns, limits = P .. 'turns:' .. class.name, P .. 'limits:' .. class.name
  local first = call('ZRANGE', limits, 0, 0)[1]
  if call('ZSCORE', turns, first or '') == tag then return first end
  local equal, least = call('ZRANGE', turns, tag, tag, 'BYSCORE', 'LIMIT', 0, LOOKAHEAD), math.huge
  for n, limit in ipairs(call('ZMSCORE', limits, unpack(equal))) do
    if count(limit) < least then first, least = equal[n], count(limit) end
  end
  return first
end

-- The flow of the lowest tag and the next, each with its tag; of equal tags first the one that is to be served first.
local function read_turns(class)
  local turns = call('ZRANGE', P .. 'turns:' .. class.name, 0, 1, 'WITHSCORES')
  if turns[4] and turns[2] == turns[4] then turns[1] = first_of_equal(class, turns[2]) end
  return turns
end

local function read_heads(ask, class)
  if class.read then return end
  local returned = P .. 'returned:' .. class.name
  class.returned = ask.returned == 1 and call('ZRANGE', returned, 0, LOOKAHEAD - 1, 'WITHSCORES') or {}
  class.turns = read_turns(class)
  class.pressing = class.turns[1] and read_pressing(ask, class) or {}
  class.read = true
end

local function serve_returned(ask, class)
  local returned = P .. 'returned:' .. class.name
  for i = 1, #class.returned, 2 do
    local task = class.returned[i]
    local job = read_job(task)
    local s = job.s
    local stale = is_stale(job, ask.now)
    if stale or not is_for_others(ask, job) then
      call('ZREM', returned, task)
      class.read = false
      if stale then return true end
      if room_of(s, 1) > 0 then
        take_back(ask, job)
        ask.served = class
      else
        -- Its tenant has no room: it waits in its line.
        join_line(s, integer(s.start_by), integer(s.start_by), task)
      end
      return true
    end
  end
  return false
end

-- When the first that a class would serve must start; one that is late already, as if it had come when its tenant was
-- last served.
local function deadline_of(class, now)
  if class.returned[2] then return tonumber(class.returned[2]) end
  if class.pressing[1] then return class.pressing[1].limit end
  local tenant = class.turns[1]
  local head = count(read_lines(class, tenant)[2])
  if head > now then return head end
  return count(call('ZSCORE', P .. 'limits:' .. class.name, tenant)) - (MAX_WAIT_SLAS - 1) * class.sla
end

-- Those classes that have work, in the order in which to try them.
local function order_classes(ask)
  local waiting = {}
  for _, class in ipairs(ask.classes) do
    read_heads(ask, class)
    if #class.returned + #class.turns > 0 then waiting[#waiting + 1] = class end
  end
  if #waiting < 2 then return waiting end
  local names = {}
  for i, class in ipairs(waiting) do names[i] = class.name end
  local passes = call('HMGET', P .. 'passes', unpack(names))
  for i, class in ipairs(waiting) do
    class.passes = count(passes[i])
    class.forced = class.passes >= PASSES
    class.deadline = deadline_of(class, ask.now)
  end
  table.sort(waiting, function(a, b)
    if a.forced ~= b.forced then return a.forced end
    if a.forced and a.sla ~= b.sla then return a.sla < b.sla end
    if a.deadline ~= b.deadline then return a.deadline < b.deadline end
    return a.name < b.name
  end)
  return waiting
end

-- After one class was served, those with shorter promises that have work too were passed over once more.
local function count_passes(served, waiting)
  if #waiting < 2 then return end
  for _, class in ipairs(waiting) do
    if class == served and class.passes > 0 then call('HSET', P .. 'passes', class.name, 0) end
    if class.sla < served.sla then call('HINCRBY', P .. 'passes', class.name, 1) end
  end
end

-- Grants something, or puts something right that another operation left behind; false when there is nothing to be had.
local function serve_one(ask)
  local waiting = order_classes(ask)
  for _, class in ipairs(waiting) do
    ask.served = nil
    if serve_returned(ask, class) or serve_pressing(ask, class) or serve_turns(ask, class, waiting) then
      if ask.served then count_passes(ask.served, waiting) end
      return true
    end
  end
  return false
end
