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
      if full then enter_lane(class, { score, member }) end
    until full
  end
end

-- A task of a tenant with a limit no longer runs.
local function free_slot(tenant)
  if call('HINCRBY', P .. 'running', tenant, -1) <= 0 then
    call('HDEL', P .. 'running', tenant)
  end
  unpark(tenant)
end

local function end_lease(task, lease)
  call('HDEL', P .. 'active', task)
  call('ZREM', P .. 'leases', task)
  if lease.tenant ~= '' then free_slot(lease.tenant) end
end
