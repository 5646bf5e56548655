-- Whether a tenant's request is within its limits. The images that a job would make are noted at once.
-- KEYS: the hashes of the tenant's day and of its month, and the key of its rate.
-- ARGV: requests per second and the seconds of a burst (0: no limit); limits, where -1 is none: images a day and a month,
--   cost a day and a month in millionths; and of a request that creates a job the job's name, the API key's name, images.
-- Returns the number of the limit that the request is over (0: none, 1: rate, 2 and 3: images, 4 and 5: cost), after how
-- many ms there is room in the rate, and how many requests there is room for now; and 1 if the job was noted just now.
local day, month, rate_key = KEYS[1], KEYS[2], KEYS[3]
local rate, burst, name, key, images = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[7], ARGV[8], tonumber(ARGV[9])
local new = name and not noted(day, name)
if new then
  local limits = { { day, 'images', images }, { month, 'images', images }, { day, 'micros', 1 }, { month, 'micros', 1 } }
  for i, limit in ipairs(limits) do
    local hash, field, more, most = limit[1], limit[2], limit[3], tonumber(ARGV[2 + i])
    if most >= 0 and tonumber(redis.call('HGET', hash, field) or 0) + more > most then return { i + 1, 0, 0, 0 } end
  end
end
local room = 0
if rate > 0 then
  -- GCRA: the theoretical arrival time of the next request, ms.
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  local each, tolerance = 1000 / rate, burst * 1000
  local due = math.max(tonumber(redis.call('GET', rate_key) or 0), now) + each
  local early = due - tolerance - now
  if early > 0 then return { 1, math.ceil(early), 0, 0 } end
  redis.call('SET', rate_key, ('%.3f'):format(due), 'PX', math.ceil(tolerance + each))
  room = math.floor((now + tolerance - due) / each)
end
if new then note(day, month, name, key, images, 0) end
return { 0, 0, room, new and 1 or 0 }
