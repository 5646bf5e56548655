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
      local full = member:sub(1, 1) == '!' or call('EXISTS', P .. 'line:' .. member) == 1
      if full then enter_lane(class, member, score) end
    until full
  end
end

-- A task of the tenant no longer runs.
local function free_slot(limit, line)
  if limit == 0 then return end
  local tenant = line:sub(-16)
  if call('HINCRBY', P .. 'running', tenant, -1) <= 0 then
    call('HDEL', P .. 'running', tenant)
  end
  unpark(tenant)
end

-- Ends a lease; returns the job's record as it was claimed.
local function end_lease(task, lease)
  call('HDEL', P .. 'active', task)
  call('ZREM', P .. 'leases', task)
  local s = lease and spec_of(lease.record)
  if s then free_slot(s.limit, s.line) end
  return s
end
