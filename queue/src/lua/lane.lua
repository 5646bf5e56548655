-- A line (class:model:tenant, the last two as digests of 16) is in its class's lane while it has entries and its
-- tenant may run more. Without room it is parked until a task of the tenant ends.
local function class_of(line) return line:sub(1, -35) end

-- While a lane has entries, those who were woken for it are still claiming: only its first one rings.
local function enter_lane(class, member, score)
  local lane = P .. 'lane:' .. class
  if call('ZADD', lane, 'NX', score, member) == 1 and call('ZCARD', lane) == 1 then
    call('SADD', P .. 'lanes', class)
    call('PUBLISH', P .. 'bell', 'work')
  end
end

-- A line that has entries goes where its tenant's virtual time puts it, unless it stands in its lane.
local function open_line(line, arrival)
  local class = class_of(line)
  local fair = call('HMGET', P .. 'fair', 'vt:' .. class .. line:sub(-17), 'lead:' .. class)
  enter_lane(class, line, integer(math.max(count(fair[1]), arrival + count(fair[2]))))
end
