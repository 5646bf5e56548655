local worker, uid, index, attempt, how, delay, err = unpack(ARGV)
local task = uid .. '/' .. index
attempt = tonumber(attempt)
local held = read_lease(call('HGET', P .. 'active', task))
if not held or held.worker ~= worker or held.attempt ~= attempt then return 0 end
end_lease(task, held)
give_back(uid, index, attempt, how, clock(), tonumber(delay), err)
send_events()
return 1
