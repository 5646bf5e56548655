-- How far the tasks are that workers hold.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: uid of a job; empty: of all jobs.
-- Returns of each job that has such tasks its uid and record; and of each task its job's uid, its index, its worker, its
-- state and its progress.
local only, records, held, seen = ARGV[1], {}, {}, {}
for _, lease in ipairs(call('ZRANGE', P .. 'leases', 0, -1)) do
  local task, worker = parts_of(lease)
  local uid, index = cut(task or '')
  if index and (only == '' or uid == only) then
    local state = call('HGET', P .. 'job:' .. uid, index)
    local record = read_held(state) and (seen[uid] or call('HGET', P .. 'job:' .. uid, 'record'))
    if record then
      if not seen[uid] then records[#records + 1] = { uid, record } end
      seen[uid] = record
      held[#held + 1] = { uid, tonumber(index), worker, state, call('HGET', P .. 'held:' .. worker, task) or '' }
    end
  end
end
return { records, held }
