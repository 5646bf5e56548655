local worker, lease, loaded, notice, left, state, capacity, trouble = unpack(ARGV, 1, 8)
lease = tonumber(lease)
local now = clock()
local fates = {}
for i = 9, #ARGV, 5 do
  local uid, index, attempt, done, all = unpack(ARGV, i, i + 4)
  attempt, done, all = tonumber(attempt), tonumber(done), tonumber(all)
  local task = uid .. '/' .. index
  local entry = call('HGET', P .. 'active', task)
  local held = read_lease(entry)
  local known, flags = unpack(call('HMGET', P .. 'job:' .. uid, 's', 'f'))
  local unwanted = not known or (flags and flags:find('c'))
  local fate = unwanted and 'C' or 'L'
  if held and held.worker == worker and held.attempt == attempt then
    if unwanted then
      end_lease(task, held)
      give_back(uid, index, attempt, 'I', now)
    else
      fate = 'K'
      call('ZADD', P .. 'leases', now + lease, task)
      if held.done ~= done or held.all ~= all then
        call('HSET', P .. 'active', task, pack_lease(attempt, worker, held.started, done, all, held.tenant))
      end
    end
  end
  fates[#fates + 1] = fate
end
send_events()
local w = read_worker(worker)
if #fates > 0 then w.idle = 0 elseif w.idle == 0 then w.idle = now end
w.seen, w.loaded, w.trouble = now, loaded, trouble
w.notice = notice .. ' ' .. integer(notice == 'doomed' and now + left or 0)
w.state = state .. ' ' .. capacity
write_worker(worker, w)
return { w.order, math.max(w.deadline - now, 0), fates }
