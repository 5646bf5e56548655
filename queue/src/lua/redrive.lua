-- Lets a job's dead letters wait again, as many as one script may; a job that was stopped goes on.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, uid.
-- Returns how many there were, whether to call again, and whether to resume it then.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local uid = ARGV[2]
local job = P .. 'job:' .. uid
local c = read_counts(uid)
if not c or c.unwanted then return { 0, 0, 0 } end
local s = c.s
local dead = call('ZRANGE', P .. 'dead:' .. uid, 0, BATCH - 1)
if #dead > 0 then
  local states, back, tasks = {}, {}, {}
  for i, state in ipairs(call('HMGET', job, unpack(dead))) do
    states[#states + 1] = dead[i]
    states[#states + 1] = ('back %d\n'):format(count((state or ''):match('^dead (%d+)')))
    back[#back + 1] = 0
    back[#back + 1] = dead[i]
    tasks[#tasks + 1] = integer(s.start_by - 1)
    tasks[#tasks + 1] = task_of(uid, dead[i])
  end
  call('HSET', job, unpack(states))
  call('ZADD', P .. 'back:' .. uid, unpack(back))
  call('ZREM', P .. 'dead:' .. uid, unpack(dead))
  call('HINCRBY', job, 'failed', -#dead)
  call('HINCRBY', job, 'returned', #dead)
  if not c.closed then
    call('ZADD', line_key(s.flow, s.model), unpack(tasks))
    line_changed(s)
    add_backlog(s.bucket, #dead)
  end
end
if #dead == BATCH then return { #dead, 1, 0 } end
call('ZREM', P .. 'dead', uid)
take_listing_back(uid, s)
call('HDEL', job, 'stopped', 'alike', 'crashed_on', 'last_dead')
if not c.stopped or call('HEXISTS', job, 'suspended') == 1 then return { #dead, 0, 0 } end
-- Until it is resumed it is as if suspended, so that nobody takes it for stopped or running.
call('HSET', job, 'suspended', 1)
return { #dead, 0, 1 }
