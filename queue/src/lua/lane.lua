-- A line (class:model:tenant, the last two as digests of 16) is in its lane and on its model's shelf while it
-- has entries and its tenant may run more. Without room it is parked until a task of the tenant ends.

-- Tasks that come back by interruption go before everything, the most urgent first.
local FRONT = -1e15

local function class_of(line) return line:sub(1, -35) end
local function shelf_of(line) return P .. 'shelf:' .. line:sub(1, -18) end

local function ring()
  call('PUBLISH', P .. 'bell', 'work')
end

local function enter_lane(class, member, score)
  local lane = P .. 'lane:' .. class
  if call('ZADD', lane, 'NX', score, member) == 0 then return false end
  -- While a lane has entries, those who were woken for it are still claiming.
  if call('ZCARD', lane) == 1 then
    call('SADD', P .. 'lanes', class)
    ring()
  end
  return true
end

-- A line that has entries goes where its tenant's virtual time puts it, unless it stands in its lane.
local function open_line(line, arrival)
  local class = class_of(line)
  local fair = call('HMGET', P .. 'fair', 'vt:' .. class .. line:sub(-17), 'lead:' .. class)
  local tag = math.max(count(fair[1]), arrival + count(fair[2]))
  if enter_lane(class, line, tag) then
    call('ZADD', shelf_of(line), tag, line)
  end
end

local function leave_lane(line)
  call('ZREM', P .. 'lane:' .. class_of(line), line)
  call('ZREM', shelf_of(line), line)
end

local function park(class, line, member, score)
  local tenant = line:sub(-16)
  call('ZADD', P .. 'park:' .. class .. ':' .. tenant, score, member)
  call('SADD', P .. 'parked:' .. tenant, class)
  if member == line then
    leave_lane(line)
  else
    call('ZREM', P .. 'lane:' .. class, member)
  end
end

-- There is room for one task of the tenant: its first line of each class may be claimed from again.
local function unpark(tenant)
  for _, class in ipairs(call('SMEMBERS', P .. 'parked:' .. tenant)) do
    local parked = P .. 'park:' .. class .. ':' .. tenant
    repeat
      local member, score = unpack(call('ZPOPMIN', parked))
      if not member then
        call('SREM', P .. 'parked:' .. tenant, class)
        break
      end
      local task = member:sub(1, 1) == '!'
      local full = task or call('EXISTS', P .. 'line:' .. member) == 1
      if full then
        enter_lane(class, member, score)
        if not task then call('ZADD', shelf_of(member), score, member) end
      end
    until full
  end
end

-- Offers a task that was given back: ready 0 is at once and before everything, else the time it may be
-- claimed again.
local function offer_task(task, s, ready, now)
  if ready == 0 then
    enter_lane(class_of(s.line), '!' .. task, FRONT + s.due)
  elseif ready <= now then
    call('ZADD', P .. 'line:' .. s.line, s.due, task)
    open_line(s.line, s.arrival)
  else
    call('ZADD', P .. 'later', ready, task)
  end
end
