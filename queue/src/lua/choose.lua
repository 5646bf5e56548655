-- The one choice. Between classes: the one whose head has the earliest deadline; but one with a shorter promise that has
-- work is passed over at most PASSES times in a row. In a class: what came back, then flows that were not served for their
-- longest wait, then the flow whose turn it is.

local function read_heads(ask, class)
  if class.read then return end
  local special = ask.special == 1
  class.returned = special and call('ZRANGE', P .. 'returned:' .. class.name, 0, LOOKAHEAD - 1, 'WITHSCORES') or {}
  class.overdue = special and call('ZRANGE', P .. 'overdue:' .. class.name, 0, DEPTH - 1) or {}
  class.turns = call('ZRANGE', P .. 'turns:' .. class.name, 0, 1, 'WITHSCORES')
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
        call('ZADD', line_key(s.flow, s.model), integer(s.due), task)
        line_changed(s.flow, s.model, s)
      end
      return true
    end
  end
  return false
end

local function serve_overdue(ask, class)
  local turns, overdue = P .. 'turns:' .. class.name, P .. 'overdue:' .. class.name
  for _, tenant in ipairs(class.overdue) do
    local member = call('HGET', P .. 'flow:' .. flow_of(class.name, tenant), 'place')
    local tag = member and member ~= '' and call('ZSCORE', turns, member)
    if not tag or serve_flow(ask, class, member, tonumber(tag), one, false) then
      call('ZREM', overdue, tenant)
      class.read = false
      return true
    end
  end
  return false
end

local function deadline_of_head(class)
  if class.returned[2] then return tonumber(class.returned[2]) end
  if class.overdue[1] then return 0 end
  return deadline_of(class, class.turns[1])
end

-- Those classes that have work, in the order in which to try them.
local function order_classes(ask)
  local waiting = {}
  for _, class in ipairs(ask.classes) do
    read_heads(ask, class)
    if #class.returned + #class.overdue + #class.turns > 0 then waiting[#waiting + 1] = class end
  end
  if #waiting < 2 then return waiting end
  local names = {}
  for i, class in ipairs(waiting) do names[i] = class.name end
  local passes = call('HMGET', P .. 'passes', unpack(names))
  for i, class in ipairs(waiting) do
    class.passes = count(passes[i])
    class.forced = class.passes >= PASSES
    class.deadline = deadline_of_head(class)
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
    if serve_returned(ask, class) or serve_overdue(ask, class) or serve_turns(ask, class, waiting, class.forced) then
      if ask.served then count_passes(ask.served, waiting) end
      return true
    end
  end
  return false
end
