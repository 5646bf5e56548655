-- A worker gives a task back.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: worker, uid, index, attempt, kind, delay in ms, error (JSON), blame, GPU time in ms.
-- Returns whether it was its own.
local worker, uid, index, attempt, kind, delay, err, blame, gpu_ms = unpack(ARGV)
local held = read_held(call('HGET', P .. 'job:' .. uid, index))
local mine = held and held.worker == worker and held.attempt == tonumber(attempt)
if not mine then return 0 end
local how = { kind = kind, delay = tonumber(delay), error = err, blame = blame, gpu_ms = tonumber(gpu_ms) }
end_lease(task_of(uid, index), worker)
give_back(uid, index, held, how, clock())
send_events()
return 1
