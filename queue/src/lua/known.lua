-- What `enqueue` does for jobs that are known, for a Redis that has no memory for new ones.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV, as there without records and payloads: term; then uid, whether it is to be rechecked.
-- Returns for each whether it is known.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local answers = {}
for i = 2, #ARGV, 2 do
  local job = P .. 'job:' .. ARGV[i]
  local known = call('EXISTS', job)
  if known == 1 and ARGV[i + 1] == '1' then call('HSET', job, 'recheck', 1) end
  answers[#answers + 1] = known
end
return answers
