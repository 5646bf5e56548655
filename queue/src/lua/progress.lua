-- How far the tasks of a job are that workers hold.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: uid.
-- Returns the job's record, if it is known; and of each task held its index, worker, state and progress.
local uid = ARGV[1]
local record = call('HGET', P .. 'job:' .. uid, 'record')
local held, mine = {}, uid .. '/'
for _, lease in ipairs(record and call('ZRANGE', P .. 'leases', 0, -1) or {}) do
  if lease:sub(1, #mine) == mine then
    local task, worker = parts_of(lease)
    local _, index = cut(task or '')
    local state = index and call('HGET', P .. 'job:' .. uid, index)
    if read_held(state) then
      held[#held + 1] = { tonumber(index), worker, state, call('HGET', P .. 'held:' .. worker, task) or '' }
    end
  end
end
return { record, held }
