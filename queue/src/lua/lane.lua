-- A line (class:model:tenant, the last two as digests of 16) is in its class's lane while it has entries and its
-- tenant may run more. Without room it is parked until a task of the tenant ends.
local function class_of(line) return line:sub(1, -35) end

-- Puts members with their scores before them into a lane, but for those that stand in it.
local function enter_lane(class, places)
  local lane = P .. 'lane:' .. class
  local new = call('ZADD', lane, 'NX', unpack(places))
  -- While a lane has entries, those who were woken for it are still claiming: only its first ones ring.
  if new > 0 and call('ZCARD', lane) == new then
    call('SADD', P .. 'lanes', class)
    call('PUBLISH', P .. 'bell', 'work')
  end
end

-- Lines of a class that have entries go where their tenants' virtual times put them, unless they stand in the
-- lane. `arrivals` are those of their jobs.
local function open_lines(class, lines, arrivals)
  local fields = { 'lead:' .. class }
  for i, line in ipairs(lines) do fields[i + 1] = 'vt:' .. class .. line:sub(-17) end
  local fair = call('HMGET', P .. 'fair', unpack(fields))
  local lead, places = count(fair[1]), {}
  for i, line in ipairs(lines) do
    places[2 * i - 1] = integer(math.max(count(fair[i + 1]), arrivals[i] + lead))
    places[2 * i] = line
  end
  enter_lane(class, places)
end
