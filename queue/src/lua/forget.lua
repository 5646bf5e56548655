-- Removes all that is known of jobs, of each as much as one script may. Leases of their tasks end by themselves:
-- their workers hear that nobody wants the images.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, uids.
-- Returns for each 0 (not known), 1 (gone), or 2 (call again).
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local keys, gone, answers = {}, {}, {}

local function forget(uid)
  local job = P .. 'job:' .. uid
  local values = call('HMGET', job, unpack(COUNTS))
  if not values[1] then
    -- Its record may have been lost while others of its keys were not.
    gone[#gone + 1] = uid
    return 0
  end
  local c = counts_of(values)
  if c and c.waiting > 0 then
    if not c.closed then add_backlog(c.s.bucket, -c.waiting) end
    call('HSET', job, 'closed', 1)
    local more = withdraw(uid, c.s, 0)
    if more then
      call('ZREMRANGEBYRANK', P .. 'back:' .. uid, 0, BATCH - 1)
      return 2
    end
  end
  if c then take_listing_back(uid, c.s) end
  if not c then uncount_malformed(uid) end
  if count(values[6]) > 0 or not c then call('ZREM', P .. 'dead', uid) end
  for _, name in ipairs({ 'job:', 'payload:', 'back:', 'dead:' }) do keys[#keys + 1] = P .. name .. uid end
  gone[#gone + 1] = uid
  return 1
end

for i = 2, #ARGV do answers[i - 1] = forget(ARGV[i]) end
if #keys > 0 then call('UNLINK', unpack(keys)) end
if #gone > 0 then call('SREM', P .. 'jobs', unpack(gone)) end
return answers
