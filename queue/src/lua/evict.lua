local worker = ARGV[1]
local now = clock()
local active = call('HGETALL', P .. 'active')
local held = 0
give_order(worker, 'E', 0)
for i = 1, #active, 2 do
  local task, lease = active[i], read_lease(active[i + 1])
  if lease and lease.worker == worker then
    local uid, index = cut(task)
    end_lease(task, lease)
    give_back(uid, index, lease.attempt, 'I', now)
    held = held + 1
  end
end
send_events()
return held
